/*
 * builder/tags: the tags that an image gets (DESIGN.md sections 3 and 8; docs/recipe.md, "Tags").
 */
#ifndef SB_BUILDER_TAGS_H
#define SB_BUILDER_TAGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "builder/git.h"

#define SB_TAG_LIMIT 128 /* characters; distribution-spec 1.1, "Pulling manifests" */

/* A version by Semantic Versioning 2.0.0, with or without a leading "v". */
struct sb_semver {
    uint64_t major, minor, patch;
    char prerelease[96]; /* "rc.1" or "" */
    char build[96];      /* after the "+", or "" */
};
/* False for anything else, and for one that makes a longer tag than there may be. */
bool sb_semver_parse(const char *text, struct sb_semver *out);
/* Order of precedence (section 11 there); build metadata does not count. */
int sb_semver_compare(const struct sb_semver *a, const struct sb_semver *b);

/* v1.2.3 gives v1.2.3, v1.2, v1 and latest; a pre-release only itself; "+" becomes "_", as tags
 * can't hold it. A floating tag is left where it is when existing (tags without the repository's
 * name) has a release beyond this one within its range: v1.2.4 beside v1.3.0 moves v1.2 and nothing
 * else. */
void sb_tags_semver(const struct sb_semver *version, const struct sb_strings *existing,
                    struct sb_strings *out);

/* abc123f and main-abc123f; with -dirty when tracked files differ. */
void sb_tags_git(const struct sb_git *git, struct sb_strings *out);

/* 20250130-143022, UTC. */
void sb_tags_date(int64_t seconds, struct sb_strings *out);
bool sb_tag_is_date(const char *tag);

/* [A-Za-z0-9_][A-Za-z0-9._-]{0,127} */
bool sb_tag_is_valid(const char *tag);
/* Runs of other characters become one "-", and runs of separators their first one, so that the
 * result also fits the names that an OCI layout allows (image-spec 1.1, annotations.md, ref.name).
 * The caller's to free. */
char *sb_tag_clean(const char *text);

#endif
