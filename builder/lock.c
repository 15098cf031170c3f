#include "builder/lock.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "builder/lockfile.h"

void sb_lock_result_free(struct sb_lock_result *result) {
    free(result->file);
    free(result->reference);
    sb_strings_free(&result->dropped);
    *result = (struct sb_lock_result){0};
}

static int resolve(const struct sb_source_site *site, const struct sb_reference *reference,
                   struct sb_lock_result *out, struct sb_error *err) {
    int found = sb_source_resolve(site, reference, &out->digest, err);
    if (found == 0)
        return sb_fail(err, SB_E_NETWORK, "the registry has no image %s", out->reference);
    return found < 0 ? -1 : 0;
}

static void drop_unused(struct sb_lockfile *lock, struct sb_lock_result *out) {
    for (size_t i = 0; i < lock->n; i++)
        if (strcmp(lock->v[i].reference, out->reference) != 0)
            sb_strings_add(&out->dropped, lock->v[i].reference);
    sb_lockfile_keep(lock, out->reference);
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
    if (update)
        drop_unused(lock, out);
    sb_lockfile_set(lock, out->reference, &out->digest);
    if (out->state == SB_LOCK_SAME && out->dropped.n == 0)
        return 0;
    return sb_lockfile_write(lock, err);
}

static int lock_base(const struct sb_source_site *site, const struct sb_recipe *recipe, bool update,
                     const struct sb_reference *reference, struct sb_lock_result *out,
                     struct sb_error *err) {
    struct sb_lockfile lock;
    out->reference = sb_reference_text(reference);
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

int sb_lock_recipe(const struct sb_source_site *site, const struct sb_recipe *recipe, bool update,
                   struct sb_lock_result *out, struct sb_error *err) {
    *out = (struct sb_lock_result){.state = SB_LOCK_NOTHING};
    while (recipe->base)
        recipe = recipe->base;
    struct sb_reference reference;
    int failed = sb_source_reference(site, recipe, &reference, err);
    if (failed > 0) {
        failed = lock_base(site, recipe, update, &reference, out, err);
        sb_reference_free(&reference);
    }
    if (failed == 0)
        return 0;
    sb_lock_result_free(out);
    return sb_source_failed(recipe, err);
}
