/*
 * base/semver: versions by Semantic Versioning 2.0.0.
 */
#ifndef SB_BASE_SEMVER_H
#define SB_BASE_SEMVER_H

#include <stdbool.h>
#include <stdint.h>

#define SB_SEMVER_LIMIT 128 /* characters with a "v" in front: as many as a registry's tag has */

struct sb_semver {
    uint64_t major, minor, patch;
    char prerelease[96]; /* "rc.1" or "" */
    char build[96];      /* after the "+", or "" */
};
/* With or without a leading "v". False for anything else, and for one that makes a longer tag than
 * there may be. */
bool sb_semver_parse(const char *text, struct sb_semver *out);
/* Order of precedence (section 11 there); build metadata does not count. */
int sb_semver_compare(const struct sb_semver *a, const struct sb_semver *b);
/* The same, and among those of one precedence by the build metadata: a total order. */
int sb_semver_order(const struct sb_semver *a, const struct sb_semver *b);
/* "1.2.3-rc.1+b"; the caller's. */
char *sb_semver_text(const struct sb_semver *version);

#endif
