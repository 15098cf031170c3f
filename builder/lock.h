/*
 * builder/lock: what `sbuild lock` does: asks registries what the bases of recipes are now, and
 * servers of git what the names in steps are, and writes it beside them (builder/lockfile.h).
 */
#ifndef SB_BUILDER_LOCK_H
#define SB_BUILDER_LOCK_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "builder/lockfile.h"
#include "builder/source.h"
#include "steps/execution.h"

struct sb_lock_site {
    struct sb_source_site source;
    const struct sb_settings *settings;
    const struct sb_secrets *secrets;
};

enum sb_lock_state {
    SB_LOCK_IN_RECIPE, /* the recipe itself names a digest */
    SB_LOCK_KEPT,      /* it was locked already, and so it stays */
    SB_LOCK_SAME,      /* it was locked already, to what it is now */
    SB_LOCK_ADDED,
    SB_LOCK_MOVED,
};

/* One image that a recipe, or a stage of it, stands on, or that a step copies from; or a tag or
 * branch of git that a step names. */
struct sb_lock_result {
    enum sb_lock_state state;
    enum sb_locked_kind kind;
    char *file; /* the lock file, beside the recipe that has the name */
    char *name; /* as the lock file has it */
    char value[SB_LOCKED_SIZE], before[SB_LOCKED_SIZE];
    struct sb_strings dropped; /* names that were locked, and are not used any more: those of
                                  the file, in its first result */
};
struct sb_lock_results {
    struct sb_lock_result *v; /* none: nothing is named that could move */
    size_t n, cap;
};
void sb_lock_results_free(struct sb_lock_results *results);

/* Locks all that a recipe names, and those that it needs; count: as it was loaded for each of its
 * platforms. update: also when it is locked already, and drops from the files what the recipes
 * don't name. */
int sb_lock_recipe(const struct sb_lock_site *site, struct sb_recipe *const *loaded, size_t count,
                   bool update, struct sb_lock_results *out, struct sb_error *err);

#endif
