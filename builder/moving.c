#include "builder/moving.h"

#include <stdlib.h>

#include "base/memory.h"
#include "builder/lockfile.h"

/* The caller's; NULL: nobody asked so far. */
static char *recall(struct sb_workshop *shop, const char *name) {
    pthread_mutex_lock(&shop->lock);
    const char *value = sb_pairs_get(&shop->settled, name);
    char *copy = value ? sb_strdup(value) : NULL;
    pthread_mutex_unlock(&shop->lock);
    return copy;
}

static void remember(struct sb_workshop *shop, const char *name, const char *value) {
    pthread_mutex_lock(&shop->lock);
    sb_pairs_set(&shop->settled, name, value);
    pthread_mutex_unlock(&shop->lock);
}

static int ask(struct sb_workshop *shop, const struct sb_recipe *recipe, const struct sb_step *step,
               const char *name, bool has_lock, struct sb_error *err) {
    char value[SB_STEP_SETTLED];
    if (step->kind->resolve(step, &shop->request->secrets, shop->settings, value, err) < 0) {
        if (err->code == SB_E_NETWORK && !err->hint[0])
            sb_error_hint(err, "`sbuild lock %s`, once, makes builds ask for nothing that is here",
                          recipe->path);
        return -1;
    }
    if (has_lock)
        sb_workshop_warn(shop, "%s:%d:%d: %s is not in the lock file; it is %s now",
                         step->place.file, step->place.line, step->place.column, name, value);
    remember(shop, name, value);
    step->kind->settle(step, value);
    return 0;
}

int sb_moving_settle(struct sb_workshop *shop, const struct sb_recipe *recipe,
                     const struct sb_step *step, struct sb_error *err) {
    sb_autofree char *name = step->kind->moving ? step->kind->moving(step) : NULL;
    struct sb_lockfile lock;
    if (!name)
        return 0;
    if (sb_lockfile_read(recipe->project, recipe->path, &lock, err) < 0)
        return -1;
    const char *locked = sb_lockfile_find(&lock, SB_LOCKED_COMMIT, name);
    sb_autofree char *known = locked ? NULL : recall(shop, name);
    int failed = 0;
    if (locked || known)
        step->kind->settle(step, locked ? locked : known);
    else
        failed = ask(shop, recipe, step, name, lock.exists, err);
    sb_lockfile_free(&lock);
    return failed ? sb_step_at(step, err) : 0;
}
