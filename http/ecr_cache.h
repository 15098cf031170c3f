/*
 * http/ecr_cache: passwords of ECR between processes, in $XDG_CACHE_HOME/sbuild/ecr-tokens.json
 * (~/.cache/sbuild/…). Only a cache: what can't be read, or could be read or written by others,
 * counts as empty, and what can't be written isn't.
 *
 *     {"version": 1, "tokens": {"HEX": {"token": "QVdT…", "expires": 1893456000}}}
 *
 * HEX is the SHA-256 of service, region, account, endpoint and access key ID, one a line; expires
 * are Unix seconds. Expired tokens go when the file is next written.
 */
#ifndef SB_HTTP_ECR_CACHE_H
#define SB_HTTP_ECR_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/digest.h"

/* Appends the token; false when there is none that is good until then. */
bool sb_ecr_cache_get(const struct sb_digest *key, int64_t good_until, struct sb_buf *out_token,
                      int64_t *out_expires);
void sb_ecr_cache_put(const struct sb_digest *key, const char *token, int64_t expires);
void sb_ecr_cache_remove(const struct sb_digest *key);

#endif
