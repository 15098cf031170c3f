/*
 * OpenSSL's low-level calls, on purpose: linked statically they cost nothing at start, while EVP
 * loads providers and reads configuration files in every process.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/digest.h"

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/process.h"

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct sb_sha256), "struct sb_sha256 is too small");

void sb_sha256_start(struct sb_sha256 *sha) {
    SHA256_Init((SHA256_CTX *)sha);
}

void sb_sha256_add(struct sb_sha256 *sha, const void *data, size_t len) {
    SHA256_Update((SHA256_CTX *)sha, data, len);
}

struct sb_digest sb_sha256_finish(struct sb_sha256 *sha) {
    struct sb_digest d;
    SHA256_Final(d.bytes, (SHA256_CTX *)sha);
    return d;
}

struct sb_digest sb_digest_of(const void *data, size_t len) {
    struct sb_sha256 sha;
    sb_sha256_start(&sha);
    sb_sha256_add(&sha, data, len);
    return sb_sha256_finish(&sha);
}

struct sb_digest sb_digest_hmac(const void *key, size_t key_len, const void *data, size_t len) {
    unsigned char block[64] = {0}, pad[64];
    if (key_len > sizeof block) {
        struct sb_digest short_key = sb_digest_of(key, key_len);
        memcpy(block, short_key.bytes, sizeof short_key.bytes);
    } else if (key_len > 0) {
        memcpy(block, key, key_len);
    }
    struct sb_sha256 sha;
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = block[i] ^ 0x36;
    sb_sha256_start(&sha);
    sb_sha256_add(&sha, pad, sizeof pad);
    sb_sha256_add(&sha, data, len);
    struct sb_digest inner = sb_sha256_finish(&sha);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = block[i] ^ 0x5c;
    sb_sha256_start(&sha);
    sb_sha256_add(&sha, pad, sizeof pad);
    sb_sha256_add(&sha, inner.bytes, sizeof inner.bytes);
    explicit_bzero(block, sizeof block);
    explicit_bzero(pad, sizeof pad);
    return sb_sha256_finish(&sha);
}

int sb_digest_of_fd(int fd, struct sb_digest *out, uint64_t *size_out, struct sb_error *err) {
    enum { CHUNK = 256 * 1024 };
    unsigned char small[4096]; /* most source files fit; a large one is worth an allocation */
    sb_autofree unsigned char *large = NULL;
    unsigned char *buf = small;
    size_t room = sizeof small;
    struct sb_sha256 sha;
    sb_sha256_start(&sha);
    uint64_t size = 0;
    for (;;) {
        ssize_t n = read(fd, buf, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sb_fail_errno(err, SB_E_IO, "reading");
        if (n == 0)
            break;
        sb_sha256_add(&sha, buf, (size_t)n);
        size += (uint64_t)n;
        if (sb_interrupt_check(err) < 0)
            return -1;
        if (!large && size >= sizeof small) {
            buf = large = sb_alloc(CHUNK);
            room = CHUNK;
        }
    }
    *out = sb_sha256_finish(&sha);
    if (size_out)
        *size_out = size;
    return 0;
}

bool sb_digest_equal(const struct sb_digest *a, const struct sb_digest *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static void write_hex(const struct sb_digest *d, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof d->bytes; i++) {
        *out++ = digits[d->bytes[i] >> 4];
        *out++ = digits[d->bytes[i] & 15];
    }
    *out = '\0';
}

struct sb_digest_text sb_digest_text(const struct sb_digest *d) {
    struct sb_digest_text t = {"sha256:"};
    write_hex(d, t.text + strlen("sha256:"));
    return t;
}

struct sb_digest_hex sb_digest_hex(const struct sb_digest *d) {
    struct sb_digest_hex t;
    write_hex(d, t.text);
    return t;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sb_digest_parse_hex(const char *hex, struct sb_digest *out) {
    for (size_t i = 0; i < sizeof out->bytes; i++) {
        int high = hex_value(hex[2 * i]);
        int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);
        if (low < 0)
            return false;
        out->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return hex[64] == '\0';
}

int sb_digest_parse(const char *text, struct sb_digest *out, struct sb_error *err) {
    static const char prefix[] = "sha256:";
    if (strncmp(text, prefix, strlen(prefix)) != 0)
        return sb_fail(err, SB_E_INTEGRITY, "the digest \"%.80s\" is not of the form sha256:…",
                       text);
    if (!sb_digest_parse_hex(text + strlen(prefix), out))
        return sb_fail(err, SB_E_INTEGRITY,
                       "the digest \"%.80s\" does not have 64 lower-case hexadecimal digits", text);
    return 0;
}
