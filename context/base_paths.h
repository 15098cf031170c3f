/*
 * context/base_paths: what a copy asks of the image below it, in a few kilobytes of that image's
 * config, so that a copy layer can be made on a base whose layers aren't here.
 *
 * Every image that sbuild builds carries in its config, as "dev.sbuild.paths":
 *   - its symbolic links, but for those that were known to lead to something other than a directory
 *     when their layer was added,
 *   - its directories whose mode or owner is not 0755 root:root,
 *   - all directories at the root, and all directories in these;
 * and for each layer a set of all its paths (context/path_set.h), of which one can be asked for.
 * It is made from what the base's config says, and the tables of contents of the layers on top: so
 * it never needs a base's layers, and two machines agree on it. Format: docs/formats.md, "Paths of
 * an image".
 */
#ifndef SB_CONTEXT_BASE_PATHS_H
#define SB_CONTEXT_BASE_PATHS_H

#include <stdbool.h>

#include "base/error.h"
#include "context/path_set.h"
#include "layers/contents.h"
#include "layers/image.h"

#define SB_BASE_PATHS_KEY   "dev.sbuild.paths"
#define SB_BASE_PATHS_LIMIT (256u << 10) /* bytes of text; an image with more is partial */

struct sb_base_paths {
    struct sb_contents *contents; /* of directories and symbolic links */
    bool partial;  /* there are layers of which nothing is known: an image made elsewhere */
    bool complete; /* each layer has a set: what isn't in contents can be asked for */
    struct sb_path_set *sets; /* the lowest first */
    size_t set_count, set_cap;
};
void sb_base_paths_free(struct sb_base_paths *paths);

/* Of an image without layers. */
void sb_base_paths_scratch(struct sb_base_paths *out);
/* What the image's config says of them; belongs to the config. NULL: nothing. */
json_t *sb_base_paths_said(const struct sb_image *image);
/* Reads that. Of an image made elsewhere (NULL) it is assumed that it has the directories that
 * every distribution has; it is partial. What can't be read is SB_E_INTEGRITY. */
int sb_base_paths_read(const json_t *said, struct sb_base_paths *out, struct sb_error *err);

/* What is at a path that contents doesn't have. */
enum sb_path_known sb_base_paths_unlisted(const struct sb_base_paths *paths, const char *path);

/* Puts a layer on top. When that would be more than the limit, what is left is what is assumed of
 * any image. */
int sb_base_paths_add(struct sb_base_paths *paths, const struct sb_contents *layer,
                      struct sb_error *err);
/* As it stands in a config; the caller's to free. */
char *sb_base_paths_text(const struct sb_base_paths *paths);

/* Brings the image's config up to date: what it says now is of its first `known` layers (a copy of
 * the base's config); with known = 0 all is made anew. Results are kept in the store, by what they
 * were made from, so that a build that changes nothing reads one small file. */
int sb_base_paths_update(struct sb_store *store, struct sb_image *image, size_t known,
                         struct sb_error *err);

#endif
