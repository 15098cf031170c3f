#include "builder/moving.h"

#include <stdlib.h>

#include "base/memory.h"
#include "builder/lockfile.h"

static int ask(const struct sb_moving_site *site, const struct sb_recipe *recipe,
               const struct sb_step *step, const char *name, bool has_lock, struct sb_error *err) {
    char value[SB_STEP_SETTLED];
    if (step->kind->resolve(step, site->secrets, site->settings, value, err) < 0) {
        if (err->code == SB_E_NETWORK && !err->hint[0])
            sb_error_hint(err, "`sbuild lock %s`, once, makes builds ask for nothing that is here",
                          recipe->path);
        return -1;
    }
    if (has_lock) {
        sb_autofree char *text =
            sb_format("%s:%d:%d: %s is not in the lock file; it is %s now", step->place.file,
                      step->place.line, step->place.column, name, value);
        site->warn(site->data, text);
    }
    step->kind->settle(step, value);
    return 0;
}

int sb_moving_settle(const struct sb_moving_site *site, const struct sb_recipe *recipe,
                     const struct sb_step *step, struct sb_error *err) {
    sb_autofree char *name = step->kind->moving ? step->kind->moving(step) : NULL;
    struct sb_lockfile lock;
    if (!name)
        return 0;
    if (sb_lockfile_read(recipe->project, recipe->path, &lock, err) < 0)
        return -1;
    const char *locked = sb_lockfile_find(&lock, SB_LOCKED_COMMIT, name);
    int failed = 0;
    if (locked)
        step->kind->settle(step, locked);
    else
        failed = ask(site, recipe, step, name, lock.exists, err);
    sb_lockfile_free(&lock);
    return failed ? sb_step_at(step, err) : 0;
}
