/*
 * builder/lockfile: which digest a recipe's base had when it was pinned.
 *
 * `sbuild lock RECIPE` writes it as NAME.lock beside the NAME.yaml whose from: names the image;
 * builds then use that digest, whatever the tag says. The digest is that of the index where the
 * image has one, so one file serves all platforms. Format: docs/formats.md, "Lock files".
 */
#ifndef SB_BUILDER_LOCKFILE_H
#define SB_BUILDER_LOCKFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/digest.h"
#include "base/error.h"
#include "document/project.h"

#define SB_LOCKFILE_LIMIT (1u << 20) /* bytes */

struct sb_locked {
    char *reference; /* whole, as sb_reference_text has it: "docker.io/library/alpine:latest" */
    struct sb_digest digest;
};
struct sb_lockfile {
    char *path;
    bool exists;
    struct sb_locked *v; /* sorted by reference */
    size_t n, cap;
};

/* "recipes/backend.lock" for recipes/backend.yaml; the caller's to free. */
char *sb_lockfile_path(const char *recipe);

/* Read as a file of the project. A missing one is an empty one. Anything that is not as it was
 * written is SB_E_RECIPE, naming file and line. On failure out is empty. */
int sb_lockfile_read(const struct sb_project *project, const char *recipe, struct sb_lockfile *out,
                     struct sb_error *err);
void sb_lockfile_free(struct sb_lockfile *lock);

/* NULL when the reference isn't pinned. */
const struct sb_digest *sb_lockfile_find(const struct sb_lockfile *lock, const char *reference);
void sb_lockfile_set(struct sb_lockfile *lock, const char *reference,
                     const struct sb_digest *digest);
/* Drops all but these references; they are added to *dropped. */
void sb_lockfile_keep(struct sb_lockfile *lock, const struct sb_strings *references,
                      struct sb_strings *dropped);
/* Atomic; with nothing in it, the file is removed. */
int sb_lockfile_write(const struct sb_lockfile *lock, struct sb_error *err);

#endif
