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
    SB_LOCK_NOTHING,   /* the base is no image of a registry */
    SB_LOCK_IN_RECIPE, /* the recipe itself names a digest */
    SB_LOCK_KEPT,      /* it was locked already, and so it stays */
    SB_LOCK_SAME,      /* it was locked already, to what it is now */
    SB_LOCK_ADDED,
    SB_LOCK_MOVED,
};

struct sb_lock_result {
    enum sb_lock_state state;
    char *file;      /* the lock file, beside the recipe whose from: names the image */
    char *reference; /* "host/repository:tag"; NULL: nothing to lock */
    struct sb_digest digest, before;
    struct sb_strings dropped; /* references that were locked, and are not used any more */
};
void sb_lock_result_free(struct sb_lock_result *result);

/* Locks the base that a recipe stands on, through the recipes below it. update: also when it is
 * locked already, and drops from the file what the recipe doesn't name. */
int sb_lock_recipe(const struct sb_source_site *site, const struct sb_recipe *recipe, bool update,
                   struct sb_lock_result *out, struct sb_error *err);

#endif
