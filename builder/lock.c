#include "builder/lock.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "builder/lockfile.h"

void sb_lock_results_free(struct sb_lock_results *results) {
    for (size_t i = 0; i < results->n; i++) {
        free(results->v[i].file);
        free(results->v[i].reference);
        sb_strings_free(&results->v[i].dropped);
    }
    free(results->v);
    *results = (struct sb_lock_results){0};
}

static int resolve(const struct sb_source_site *site, const struct sb_reference *reference,
                   struct sb_lock_result *out, struct sb_error *err) {
    int found = sb_source_resolve(site, reference, &out->digest, err);
    if (found == 0)
        return sb_fail(err, SB_E_NETWORK, "the registry has no image %s", out->reference);
    return found < 0 ? -1 : 0;
}

static int lock_reference(const struct sb_source_site *site, const struct sb_reference *reference,
                          bool update, struct sb_lockfile *lock, struct sb_lock_result *out,
                          struct sb_error *err) {
    const struct sb_digest *before = sb_lockfile_find(lock, out->reference);
    if (before)
        out->before = out->digest = *before;
    out->state = before ? SB_LOCK_KEPT : SB_LOCK_ADDED;
    if (before && !update)
        return 0;
    if (resolve(site, reference, out, err) < 0)
        return -1;
    if (before)
        out->state = sb_digest_equal(&out->before, &out->digest) ? SB_LOCK_SAME : SB_LOCK_MOVED;
    sb_lockfile_set(lock, out->reference, &out->digest);
    return out->state == SB_LOCK_SAME ? 0 : sb_lockfile_write(lock, err);
}

static int lock_image(const struct sb_source_site *site, const struct sb_recipe *recipe,
                      bool update, const struct sb_reference *reference, struct sb_lock_result *out,
                      struct sb_error *err) {
    struct sb_lockfile lock;
    out->state = SB_LOCK_IN_RECIPE;
    if (reference->has_digest)
        return 0;
    if (sb_lockfile_read(recipe->project, recipe->path, &lock, err) < 0)
        return -1;
    out->file = sb_strdup(lock.path);
    int failed = lock_reference(site, reference, update, &lock, out, err);
    sb_lockfile_free(&lock);
    return failed;
}

static bool is_known(const struct sb_lock_results *results, const char *file,
                     const char *reference) {
    for (size_t i = 0; i < results->n; i++)
        if (results->v[i].file && !strcmp(results->v[i].file, file) &&
            !strcmp(results->v[i].reference, reference))
            return true;
    return false;
}

/* What recipe names itself, if that is an image of a registry. */
static int lock_own(const struct sb_source_site *site, const struct sb_recipe *recipe, bool update,
                    struct sb_lock_results *out, struct sb_error *err) {
    struct sb_reference reference;
    int found = sb_source_reference(site, recipe, &reference, err);
    if (found <= 0)
        return found < 0 ? sb_source_failed(recipe, err) : 0;
    sb_autofree char *text = sb_reference_text(&reference);
    sb_autofree char *file = sb_lockfile_path(recipe->path);
    int failed = 0;
    if (!is_known(out, file, text)) {
        SB_GROW(out->v, out->n, out->cap);
        struct sb_lock_result *result = &out->v[out->n++];
        *result = (struct sb_lock_result){.reference = sb_steal(text)};
        failed = lock_image(site, recipe, update, &reference, result, err);
    }
    sb_reference_free(&reference);
    return failed ? sb_source_failed(recipe, err) : 0;
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
        sb_strings_add(&used, one->reference);
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

static int lock_loaded(const struct sb_source_site *site, const struct sb_recipe *recipe,
                       bool update, struct sb_lock_results *out, struct sb_error *err) {
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

int sb_lock_recipe(const struct sb_source_site *site, struct sb_recipe *const *loaded, size_t count,
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
