/*
 * builder/failed: the root of the step that failed last, as it left it, kept for whoever looks for
 * the reason (`sbuild run --failed`).
 *
 *     STORE/sbuild/failed/ID/     the newest of them; `sbuild prune` takes all
 *         upper/                  what the step's layer had written by then
 *         mounts/                 what the step itself had brought (steps/failure.h)
 *         failure.json, config.json, manifest.json
 *
 * docs/formats.md describes them.
 */
#ifndef SB_BUILDER_FAILED_H
#define SB_BUILDER_FAILED_H

#include "base/error.h"
#include "layers/image.h"
#include "sandbox/root.h"
#include "steps/failure.h"

/* A directory of this process's, for copies of mounts while the step runs: failure->directory. It
 * is the process's until it ends. */
int sb_failed_prepare(struct sb_store *store, struct sb_step_failure *failure,
                      struct sb_error *err);

/* root: unmounted; its upper directory is taken. image: what lies below it. what: one line. What
 * was kept before goes, unless a process looks at it. */
int sb_failed_keep(struct sb_store *store, const struct sb_image *image, const struct sb_root *root,
                   const struct sb_step_failure *failure, const char *what, int64_t epoch,
                   struct sb_error *err);
/* Adds to the error of the step how to get there; store: as a command line says it, or NULL.
 * Returns -1. */
int sb_failed_tell(const char *store, struct sb_error *err);

struct sb_failed {
    char *upper, *mounts; /* paths of directories */
    char *what;
    struct sb_image image;
    struct sb_step_failure failure;
};
/* The newest; in use from here on. SB_E_NOT_FOUND: nothing is kept. */
int sb_failed_load(struct sb_store *store, struct sb_failed *out, struct sb_error *err);
void sb_failed_free(struct sb_failed *failed);

#endif
