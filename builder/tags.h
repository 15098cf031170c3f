/*
 * builder/tags: the tags that an image gets beside those of its version (registry/release.h;
 * docs/recipe.md, "Tags").
 */
#ifndef SB_BUILDER_TAGS_H
#define SB_BUILDER_TAGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "context/git.h"

#define SB_TAG_LIMIT 128 /* characters; distribution-spec 1.1, "Pulling manifests" */

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
