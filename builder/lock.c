#include "builder/lock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "builder/lockfile.h"

void sb_lock_results_free(struct sb_lock_results *results) {
    for (size_t i = 0; i < results->n; i++) {
        free(results->v[i].file);
        free(results->v[i].name);
        sb_strings_free(&results->v[i].dropped);
    }
    free(results->v);
    *results = (struct sb_lock_results){0};
}

/* What has a name that may move: a recipe its base, or a step. */
struct name {
    const struct sb_lock_site *site;
    const struct sb_recipe *recipe;
    const struct sb_reference *reference; /* an image; else */
    const struct sb_step *step;
};

static int resolve_image(const struct name *name, struct sb_lock_result *out,
                         struct sb_error *err) {
    struct sb_digest digest;
    int found = sb_source_resolve(&name->site->source, name->reference, &digest, err);
    if (found == 0)
        return sb_fail(err, SB_E_NETWORK, "the registry has no image %s", out->name);
    if (found > 0)
        snprintf(out->value, sizeof out->value, "%s", sb_digest_text(&digest).text);
    return found < 0 ? -1 : 0;
}

static int resolve(const struct name *name, struct sb_lock_result *out, struct sb_error *err) {
    if (name->reference)
        return resolve_image(name, out, err);
    const struct sb_step *step = name->step;
    return step->kind->resolve(step, name->site->secrets, name->site->settings, out->value, err);
}

static int lock_in(struct sb_lockfile *lock, const struct name *name, bool update,
                   struct sb_lock_result *out, struct sb_error *err) {
    const char *before = sb_lockfile_find(lock, out->kind, out->name);
    if (before) {
        memcpy(out->before, before, strlen(before) + 1);
        memcpy(out->value, before, strlen(before) + 1);
    }
    out->state = before ? SB_LOCK_KEPT : SB_LOCK_ADDED;
    if (before && !update)
        return 0;
    if (resolve(name, out, err) < 0)
        return -1;
    if (before)
        out->state = strcmp(out->before, out->value) ? SB_LOCK_MOVED : SB_LOCK_SAME;
    sb_lockfile_set(lock, out->kind, out->name, out->value);
    return out->state == SB_LOCK_SAME ? 0 : sb_lockfile_write(lock, err);
}

static int lock_name(const struct name *name, bool update, struct sb_lock_result *out,
                     struct sb_error *err) {
    struct sb_lockfile lock;
    out->state = SB_LOCK_IN_RECIPE;
    if (name->reference && name->reference->has_digest)
        return 0;
    if (sb_lockfile_read(name->recipe->project, name->recipe->path, &lock, err) < 0)
        return -1;
    out->file = sb_strdup(lock.path);
    int failed = lock_in(&lock, name, update, out, err);
    sb_lockfile_free(&lock);
    return failed;
}

static bool is_known(const struct sb_lock_results *results, const char *file, const char *name) {
    for (size_t i = 0; i < results->n; i++)
        if (results->v[i].file && !strcmp(results->v[i].file, file) &&
            !strcmp(results->v[i].name, name))
            return true;
    return false;
}

/* text: as the lock file has it; taken over. */
static int lock_one(const struct name *name, char *text, bool update, struct sb_lock_results *out,
                    struct sb_error *err) {
    sb_autofree char *file = sb_lockfile_path(name->recipe->path);
    if (is_known(out, file, text)) {
        free(text);
        return 0;
    }
    SB_GROW(out->v, out->n, out->cap);
    struct sb_lock_result *result = &out->v[out->n++];
    *result = (struct sb_lock_result){.kind = name->reference ? SB_LOCKED_IMAGE : SB_LOCKED_COMMIT,
                                      .name = text};
    return lock_name(name, update, result, err);
}

/* What recipe stands on, or is, if that is an image of a registry. */
static int lock_base(const struct sb_lock_site *site, const struct sb_recipe *recipe, bool update,
                     struct sb_lock_results *out, struct sb_error *err) {
    struct sb_reference reference;
    int found = sb_source_reference(&site->source, recipe, &reference, err);
    if (found <= 0)
        return found < 0 ? sb_source_failed(recipe, err) : 0;
    const struct name name = {.site = site, .recipe = recipe, .reference = &reference};
    int failed = lock_one(&name, sb_reference_text(&reference), update, out, err);
    sb_reference_free(&reference);
    return failed ? sb_source_failed(recipe, err) : 0;
}

static int lock_steps(const struct sb_lock_site *site, const struct sb_recipe *recipe,
                      const struct sb_recipe_layer *layer, bool update, struct sb_lock_results *out,
                      struct sb_error *err) {
    for (size_t i = 0; i < layer->step_count; i++) {
        const struct sb_step *step = &layer->steps[i];
        char *text = step->kind->moving ? step->kind->moving(step) : NULL;
        const struct name name = {.site = site, .recipe = recipe, .step = step};
        if (text && lock_one(&name, text, update, out, err) < 0)
            return sb_step_at(step, err);
    }
    return 0;
}

static int lock_own(const struct sb_lock_site *site, const struct sb_recipe *recipe, bool update,
                    struct sb_lock_results *out, struct sb_error *err) {
    if (lock_base(site, recipe, update, out, err) < 0)
        return -1;
    for (size_t i = 0; i < recipe->layer_count; i++)
        if (lock_steps(site, recipe, &recipe->layers[i], update, out, err) < 0)
            return -1;
    return 0;
}

/* What the lock file of a recipe has beside what was locked now. */
static int drop_unused(const struct sb_recipe *recipe, struct sb_lock_results *results,
                       struct sb_error *err) {
    struct sb_lockfile lock;
    struct sb_strings used = {0}, dropped = {0};
    struct sb_lock_result *first = NULL;
    if (sb_lockfile_read(recipe->project, recipe->path, &lock, err) < 0)
        return -1;
    for (size_t i = results->n; i-- > 0;) {
        struct sb_lock_result *one = &results->v[i];
        if (!one->file || strcmp(one->file, lock.path) != 0)
            continue;
        sb_strings_add(&used, one->name);
        first = one;
    }
    sb_lockfile_keep(&lock, &used, &dropped);
    int failed = dropped.n > 0 && first ? sb_lockfile_write(&lock, err) : 0;
    for (size_t i = 0; i < dropped.n && first; i++)
        sb_strings_add(&first->dropped, dropped.v[i]);
    sb_strings_free(&used);
    sb_strings_free(&dropped);
    sb_lockfile_free(&lock);
    return failed;
}

static int lock_loaded(const struct sb_lock_site *site, const struct sb_recipe *recipe, bool update,
                       struct sb_lock_results *out, struct sb_error *err) {
    size_t n;
    struct sb_recipe *const *all = sb_recipe_all(recipe, &n);
    for (size_t i = 0; i < n; i++)
        if (lock_own(site, all[i], update, out, err) < 0)
            return -1;
    return 0;
}

static int drop_of_loaded(const struct sb_recipe *recipe, struct sb_lock_results *out,
                          struct sb_error *err) {
    size_t n;
    struct sb_recipe *const *all = sb_recipe_all(recipe, &n);
    for (size_t i = 0; i < n; i++)
        if (all[i]->kind == SB_RECIPE_FILE && drop_unused(all[i], out, err) < 0)
            return -1;
    return 0;
}

int sb_lock_recipe(const struct sb_lock_site *site, struct sb_recipe *const *loaded, size_t count,
                   bool update, struct sb_lock_results *out, struct sb_error *err) {
    int failed = 0;
    *out = (struct sb_lock_results){0};
    for (size_t i = 0; i < count && !failed; i++)
        failed = lock_loaded(site, loaded[i], update, out, err);
    for (size_t i = 0; i < count && update && !failed; i++)
        failed = drop_of_loaded(loaded[i], out, err);
    if (failed)
        sb_lock_results_free(out);
    return failed ? -1 : 0;
}
