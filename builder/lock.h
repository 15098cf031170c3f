/*
 * builder/lock: what `sbuild lock` does: asks registries what the bases of recipes are now, and
 * writes it beside them (builder/lockfile.h).
 */
#ifndef SB_BUILDER_LOCK_H
#define SB_BUILDER_LOCK_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "builder/source.h"

enum sb_lock_state {
    SB_LOCK_IN_RECIPE, /* the recipe itself names a digest */
    SB_LOCK_KEPT,      /* it was locked already, and so it stays */
    SB_LOCK_SAME,      /* it was locked already, to what it is now */
    SB_LOCK_ADDED,
    SB_LOCK_MOVED,
};

/* One image that a recipe, or a stage of it, stands on, or that a step copies from. */
struct sb_lock_result {
    enum sb_lock_state state;
    char *file;      /* the lock file, beside the recipe that names the image */
    char *reference; /* "host/repository:tag" */
    struct sb_digest digest, before;
    struct sb_strings dropped; /* references that were locked, and are not used any more: those of
                                  the file, in its first result */
};
struct sb_lock_results {
    struct sb_lock_result *v; /* none: no image of a registry is named */
    size_t n, cap;
};
void sb_lock_results_free(struct sb_lock_results *results);

/* Locks all images of registries that a recipe needs, and those that it needs; count: as it was
 * loaded for each of its platforms. update: also when one is locked already, and drops from the
 * files what the recipes don't name. */
int sb_lock_recipe(const struct sb_source_site *site, struct sb_recipe *const *loaded, size_t count,
                   bool update, struct sb_lock_results *out, struct sb_error *err);

#endif
