/*
 * builder/lockfile: what names in a recipe that may move stood for when they were pinned: tags of
 * images, tags and branches of git repositories.
 *
 * `sbuild lock RECIPE` writes it as NAME.lock beside the NAME.yaml that has the names; builds then
 * use that digest or commit, whatever the name stands for by now. A digest is that of the index
 * where the image has one, so one file serves all platforms. Format: docs/formats.md, "Lock files".
 */
#ifndef SB_BUILDER_LOCKFILE_H
#define SB_BUILDER_LOCKFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "document/project.h"

#define SB_LOCKFILE_LIMIT (1u << 20) /* bytes */

enum sb_locked_kind {
    SB_LOCKED_IMAGE,  /* "docker.io/library/alpine:latest", whole; "sha256:…" */
    SB_LOCKED_COMMIT, /* "https://h/a.git refs/heads/main"; 40 or 64 digits */
};
enum { SB_LOCKED_SIZE = 80 }; /* bytes of a value */
struct sb_locked {
    enum sb_locked_kind kind;
    char *name;
    char value[SB_LOCKED_SIZE];
};
struct sb_lockfile {
    char *path;
    bool exists;
    struct sb_locked *v; /* sorted by kind and name */
    size_t n, cap;
};

/* "recipes/backend.lock" for recipes/backend.yaml; the caller's to free. */
char *sb_lockfile_path(const char *recipe);

/* Read as a file of the project. A missing one is an empty one. Anything that is not as it was
 * written is SB_E_RECIPE, naming file and line. On failure out is empty. */
int sb_lockfile_read(const struct sb_project *project, const char *recipe, struct sb_lockfile *out,
                     struct sb_error *err);
void sb_lockfile_free(struct sb_lockfile *lock);

/* NULL when the name isn't pinned. */
const char *sb_lockfile_find(const struct sb_lockfile *lock, enum sb_locked_kind kind,
                             const char *name);
void sb_lockfile_set(struct sb_lockfile *lock, enum sb_locked_kind kind, const char *name,
                     const char *value);
/* Drops all but these names; they are added to *dropped. */
void sb_lockfile_keep(struct sb_lockfile *lock, const struct sb_strings *names,
                      struct sb_strings *dropped);
/* Atomic; with nothing in it, the file is removed. */
int sb_lockfile_write(const struct sb_lockfile *lock, struct sb_error *err);

#endif
