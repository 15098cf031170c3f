/*
 * base/digest: SHA-256, the one digest algorithm that sbuild writes and reads.
 *
 * In text a digest is "sha256:" and 64 lower-case hexadecimal digits (OCI image-spec 1.1,
 * descriptor.md, "Digests"). Other registered algorithms are refused with a message.
 */
#ifndef SB_BASE_DIGEST_H
#define SB_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SB_DIGEST_TEXT_SIZE (sizeof "sha256:" + 64) /* with the NUL */
#define SB_DIGEST_HEX_SIZE  65                      /* with the NUL */

struct sb_digest {
    unsigned char bytes[32];
};

struct sb_digest_text {
    char text[SB_DIGEST_TEXT_SIZE];
};
struct sb_digest_hex {
    char text[SB_DIGEST_HEX_SIZE];
};

/* A running hash; plain data, may be copied in mid-stream to get the digest so far. */
struct sb_sha256 {
    uint32_t opaque[32];
};

void sb_sha256_start(struct sb_sha256 *sha);
void sb_sha256_add(struct sb_sha256 *sha, const void *data, size_t len);
struct sb_digest sb_sha256_finish(struct sb_sha256 *sha);

struct sb_digest sb_digest_of(const void *data, size_t len);
/* HMAC, RFC 2104. */
struct sb_digest sb_digest_hmac(const void *key, size_t key_len, const void *data, size_t len);
/* From the current offset to the end of the file; also counts the bytes when size_out is given. */
int sb_digest_of_fd(int fd, struct sb_digest *out, uint64_t *size_out, struct sb_error *err);

bool sb_digest_equal(const struct sb_digest *a, const struct sb_digest *b);

/* "sha256:<hex>", by value: sb_digest_text(&d).text lives to the end of the full expression. */
struct sb_digest_text sb_digest_text(const struct sb_digest *d);
struct sb_digest_hex sb_digest_hex(const struct sb_digest *d);

/* Of "sha256:<64 hex>", nothing before or after; SB_E_INTEGRITY otherwise. */
int sb_digest_parse(const char *text, struct sb_digest *out, struct sb_error *err);
/* Of 64 hex digits alone; false otherwise. */
bool sb_digest_parse_hex(const char *hex, struct sb_digest *out);

#endif
