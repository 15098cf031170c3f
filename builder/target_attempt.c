#include "builder/target_private.h"

#include "base/memory.h"
#include "builder/cache.h"
#include "builder/moving.h"
#include "builder/remote_cache.h"

void sb_attempt_free(struct sb_attempt *a) {
    sb_cache_key_free(&a->key);
    sb_copies_free(&a->copies);
}

const struct sb_recipe_layer *sb_target_layer(const struct sb_target *target, size_t result) {
    size_t i = result - target->base_count;
    bool bootstrap = target->recipe->from.kind == SB_FROM_BOOTSTRAP;
    return bootstrap && i == 0 ? NULL : &target->recipe->layers[i - bootstrap];
}

bool sb_target_is_uncached(const struct sb_target *target, size_t result) {
    return target->shop->request->no_cache ||
           sb_strings_has(&target->uncached, target->results[result].name);
}

char *sb_target_why_uncached(const struct sb_target *target, size_t result) {
    return target->shop->request->no_cache
               ? sb_strdup("--no-cache")
               : sb_format("--no-cache=%s", target->results[result].name);
}

struct sb_cache_owner sb_target_owner(const struct sb_target *target, size_t result) {
    return (struct sb_cache_owner){target->path, target->results[result].name};
}

int sb_attempt_site(struct sb_target *target, struct sb_attempt *a, struct sb_error *err) {
    a->layer = sb_target_layer(target, a->result);
    a->site = (struct sb_layer_site){.store = target->shop->store,
                                     .recipe = target->recipe,
                                     .platform = target->platform,
                                     .below = &target->image,
                                     .ground = &a->ground,
                                     .secrets = &target->shop->request->secrets,
                                     .settings = target->shop->settings,
                                     .registry = target->shop->request->registry,
                                     .workdir = target->workdir,
                                     .epoch = target->shop->epoch};
    for (size_t i = 0; a->layer && i < a->layer->step_count; i++)
        if (sb_moving_settle(target->shop, target->recipe, &a->layer->steps[i], err) < 0)
            return sb_error_context(err, "layer %s", a->layer->name);
    if (a->layer && sb_layer_reads_context(a->layer) && sb_target_open_context(target, err) < 0)
        return -1;
    a->site.context = target->context;
    a->site.from = sb_target_sources(target);
    a->site.origins = sb_target_origins(target);
    return 0;
}

/* Whether it is the layer that brings the workdir, if anyone has to; whatever --until says. */
static bool may_bring_workdir(const struct sb_target *target, const struct sb_attempt *a) {
    const struct sb_recipe *recipe = target->recipe;
    return recipe->image.workdir && a->layer == &recipe->layers[recipe->layer_count - 1];
}

/* What its copies land on; tables of contents are opened for that. */
static int find_ground(struct sb_target *target, struct sb_attempt *a, struct sb_error *err) {
    if (a->grounded || !a->layer || !sb_layer_is_copy(a->layer))
        return 0;
    if (sb_target_ground(target, &a->ground, err) < 0)
        return -1;
    a->grounded = true;
    a->site.brings_workdir = may_bring_workdir(target, a) && !a->ground.partial;
    return 0;
}

int sb_attempt_key(struct sb_target *target, struct sb_attempt *a, struct sb_error *err) {
    sb_cache_key_free(&a->key);
    if (find_ground(target, a, err) < 0)
        return -1;
    if (!a->layer) {
        sb_bootstrap_key(&a->site, &a->site.recipe->from.bootstrap, &a->key);
        return 0;
    }
    sb_copies_free(&a->copies);
    return sb_layer_key(&a->site, a->layer, &a->copies, &a->key, err);
}

/* In the store: what its record said the last time, or says now. */
static bool find_here(struct sb_target *target, const struct sb_attempt *a,
                      struct sb_cache_found *out) {
    struct sb_store *store = target->shop->store;
    struct sb_recall *recall = target->shop->shelf.closed ? NULL : target->shop->shelf.recall;
    const struct sb_parts *parts = sb_recall_find(recall, &a->key.digest);
    *out = (struct sb_cache_found){0};
    if (parts && sb_cache_use(store, &a->key.digest, parts)) {
        sb_parts_copy(&out->parts, parts);
        return true;
    }
    if (!sb_cache_find(store, &a->key, out))
        return false;
    sb_recall_put(recall, &a->key.digest, &out->parts);
    return true;
}

/* owner: NULL of a key that stands beside the layer's own. */
static bool find(struct sb_target *target, struct sb_attempt *a, const struct sb_cache_owner *owner,
                 bool anywhere) {
    struct sb_layer_result *r = &target->results[a->result];
    struct sb_remote_cache *remote = target->shop->remote;
    struct sb_cache_found found;
    r->key = a->key.digest;
    const struct sb_parts *known = sb_shelf_layer(&target->shop->shelf, &r->key);
    if (known) {
        sb_parts_copy(&r->parts, known);
        return true;
    }
    if (find_here(target, a, &found)) {
        sb_remote_cache_know(remote, &a->key, &found.parts);
        sb_shelf_put_layer(&target->shop->shelf, &r->key, &found.parts);
    } else if (!anywhere || !sb_remote_cache_find(remote, &a->key, owner, &a->copies, &found))
        return false;
    sb_parts_move(&r->parts, &found.parts);
    r->repository = found.repository;
    return true;
}

bool sb_attempt_find(struct sb_target *target, struct sb_attempt *a, bool anywhere) {
    struct sb_cache_owner owner = sb_target_owner(target, a->result);
    return find(target, a, &owner, anywhere);
}

/* ---- layers that take files of other targets ---- */

static int origin_key(const struct sb_attempt *a, struct sb_cache_key *out, struct sb_error *err) {
    struct sb_layer_site site = a->site;
    struct sb_copies unused = {0};
    site.by_origin = true;
    int failed = sb_layer_key(&site, a->layer, &unused, out, err);
    sb_copies_free(&unused);
    return failed;
}

int sb_attempt_find_by_origin(struct sb_target *target, struct sb_attempt *a,
                              struct sb_error *err) {
    if (!a->layer || !sb_layer_takes(a->layer) || sb_target_is_uncached(target, a->result))
        return 0;
    if ((may_bring_workdir(target, a) && find_ground(target, a, err) < 0) ||
        origin_key(a, &a->key, err) < 0)
        return -1;
    bool found = find(target, a, NULL, true);
    sb_cache_key_free(&a->key);
    return found;
}

void sb_attempt_put_by_origin(struct sb_target *target, const struct sb_attempt *a) {
    const struct sb_layer_result *r = &target->results[a->result];
    struct sb_cache_facts facts = {.parts = &r->parts, .seconds = r->seconds};
    struct sb_cache_key key = {0};
    if (!a->layer || !sb_layer_takes(a->layer) || origin_key(a, &key, NULL) < 0)
        return;
    /* The key says nothing of tables of contents: who wrote one of them to a cache would decide
     * what the readers of another get. */
    if (sb_cache_put(target->shop->store, &key, NULL, &facts, NULL) == 0 &&
        !sb_target_sources_are_told(target))
        sb_remote_cache_put(target->shop->remote, &key, r->recipe, r->name, &r->parts, r->seconds,
                            false);
    sb_cache_key_free(&key);
}

void sb_attempt_share(struct sb_target *target, const struct sb_attempt *a, bool replace) {
    const struct sb_layer_result *r = &target->results[a->result];
    sb_remote_cache_put(target->shop->remote, &a->key, r->recipe, r->name, &r->parts, r->seconds,
                        replace);
}
