#include "builder/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "base/thread.h"
#include "builder/cache.h"
#include "builder/layer_build.h"
#include "builder/target_private.h"
#include "document/image_config.h"
#include "layers/trees.h"

/* ---- one layer ---- */

static void warn(void *data, const char *key, const char *text) {
    const struct sb_target *target = data;
    sb_workshop_warn_once(target->shop, key, text);
}

static void tell_reading(void *data, const char *path, uint64_t bytes, uint64_t size) {
    struct sb_target *target = data;
    sb_autofree char *text =
        sb_format("reading %s, %s of %s", path, sb_text_size(bytes).text, sb_text_size(size).text);
    sb_target_notify(target, target->next, SB_EVENT_READ, text, strlen(text));
}

int sb_target_open_context(struct sb_target *target, struct sb_error *err) {
    const struct sb_context_listener listener = {warn, tell_reading, target};
    struct sb_shelf *shelf = &target->shop->shelf;
    const char *directory = target->recipe->context;
    if (!target->context)
        target->context = sb_shelf_context(shelf, directory);
    if (!target->context) {
        if (sb_context_open(directory, target->shop->store, &target->context, err) < 0)
            return -1;
        target->own_context = !sb_shelf_put_context(shelf, directory, target->context);
    }
    sb_context_listen(target->context, &listener);
    return 0;
}

/* The layer of results[result] is known: it becomes part of the image. */
static void accept(struct sb_target *target, size_t result, enum sb_layer_state state) {
    struct sb_layer_result *r = &target->results[result];
    sb_assert(r->state == SB_LAYER_UNKNOWN && r->parts.n > 0);
    r->state = state;
    if (state == SB_LAYER_CACHED) { /* by another process, after a cause had been found */
        free(r->cause);
        r->cause = NULL;
    }
    sb_image_add_parts(&target->image, &r->parts, r->name, r->summary);
    sb_target_notify(target, result, SB_EVENT_LAYER_DONE, NULL, 0);
}

static int accept_built(struct sb_target *target, const struct sb_attempt *a,
                        struct sb_error *err) {
    struct sb_layer_result *r = &target->results[a->result];
    struct sb_cache_owner owner = sb_target_owner(target, a->result);
    struct sb_cache_facts facts = {.parts = &r->parts, .seconds = r->seconds, .copies = &a->copies};
    bool replace = sb_target_is_uncached(target, a->result) ||
                   sb_cache_is_rejected(target->shop->store, &a->key);
    if (sb_cache_put(target->shop->store, &a->key, &owner, &facts, err) < 0)
        return -1;
    sb_attempt_share(target, a, replace);
    sb_attempt_put_by_origin(target, a);
    accept(target, a->result, SB_LAYER_BUILT);
    return 0;
}

/* Whose blob is being written. */
struct growing {
    struct sb_target *target;
    size_t result;
    struct sb_blob_watch watch;
    struct sb_pack_progress progress;
};

static void tell_growth(void *data, int fd, uint64_t size) {
    const struct growing *g = data;
    bool gzip = g->target->recipe->compression == SB_RECIPE_GZIP;
    const struct sb_layer_growth growth = {fd, size,
                                           gzip ? SB_MEDIA_LAYER_GZIP : SB_MEDIA_LAYER_ZSTD};
    sb_target_notify_growth(g->target, g->result, &growth);
}

static void tell_packing(void *data, uint64_t bytes) {
    const struct growing *g = data;
    sb_autofree char *text = sb_format("packing, %s so far", sb_text_size(bytes).text);
    sb_target_notify(g->target, g->result, SB_EVENT_READ, text, strlen(text));
}

/* growing must live as long as the layer is packed. */
static struct sb_pack_options pack_options(struct sb_target *target, size_t result,
                                           struct growing *growing) {
    bool watched = target->shop->request->watch_growth;
    *growing = (struct growing){target, result, {tell_growth, growing}, {tell_packing, growing}};
    return (struct sb_pack_options){.compression = target->recipe->compression == SB_RECIPE_GZIP
                                                       ? SB_COMPRESSION_GZIP
                                                       : SB_COMPRESSION_ZSTD,
                                    .threads = sb_workshop_threads(target->shop),
                                    .watch = watched ? &growing->watch : NULL,
                                    .progress = &growing->progress};
}

/* ---- copy layers ---- */

enum { COPY_ATTEMPTS = 5 };

/* A file may change between hashing and packing: then the key is computed anew. */
static int build_copy(struct sb_target *target, struct sb_attempt *a, struct sb_error *err) {
    struct sb_layer_result *r = &target->results[a->result];
    struct growing growing;
    struct sb_pack_options options = pack_options(target, a->result, &growing);
    struct sb_parts parts = {0};
    double start = sb_clock_seconds();
    sb_target_notify(target, a->result, SB_EVENT_LAYER_START, NULL, 0);
    for (int attempt = 1;; attempt++) {
        if (sb_layer_pack_copy(&a->site, &a->copies.v[0].list, &options, &parts, err) == 0)
            break;
        if (err->reason != SB_REASON_CHANGED || attempt == COPY_ATTEMPTS)
            return sb_error_context(err, "layer %s", r->name);
        sb_error_clear(err);
        if (sb_attempt_key(target, a, err) < 0)
            return -1;
        r->key = a->key.digest;
    }
    sb_parts_move(&r->parts, &parts);
    r->seconds = sb_clock_seconds() - start;
    return accept_built(target, a, err);
}

/* ---- layers with steps ---- */

struct sb_target_packing {
    pthread_t thread; /* if it has_thread */
    bool has_thread;
    struct sb_target *target;
    struct sb_attempt attempt;
    struct sb_root *root;
    struct sb_pack_options options;
    struct growing growing;
    struct sb_parts parts;
    double start, seconds;
    int lock; /* of its key */
    int result;
    struct sb_error err;
};

static void *pack_thread(void *data) {
    struct sb_target_packing *p = data;
    p->result = sb_layer_pack_root(p->target->shop->store, p->root, p->target->shop->epoch,
                                   &p->options, &p->parts, &p->err);
    p->seconds = sb_clock_seconds() - p->start;
    return NULL;
}

/* The upper directory is what the one part of a layer unpacks to. */
static int adopt_tree(const struct sb_target *target, const struct sb_parts *parts,
                      const struct sb_root *root, struct sb_error *err) {
    return parts->n == 1
               ? sb_tree_adopt(target->shop->store, &parts->v[0].diff_id, sb_root_upper(root), err)
               : 0;
}

/* The lock of its key goes to *out_lock. */
static int finish_packing_locked(struct sb_target *target, int *out_lock, struct sb_error *err) {
    struct sb_target_packing *p = target->packing;
    if (!p)
        return 0;
    if (p->has_thread)
        pthread_join(p->thread, NULL);
    target->packing = NULL;
    struct sb_layer_result *r = &target->results[p->attempt.result];
    int failed = p->result;
    if (failed) {
        *err = p->err;
        sb_error_context(err, "layer %s", r->name);
    } else {
        sb_parts_move(&r->parts, &p->parts);
        r->seconds = p->seconds;
        failed = adopt_tree(target, &r->parts, p->root, err) < 0
                     ? -1
                     : accept_built(target, &p->attempt, err);
    }
    sb_root_free(p->root);
    sb_attempt_free(&p->attempt);
    *out_lock = p->lock;
    free(p);
    return failed;
}

int sb_target_finish_packing(struct sb_target *target, struct sb_error *err) {
    sb_autoclose int lock = -1;
    return finish_packing_locked(target, &lock, err);
}

static int run_layer(struct sb_target *target, const struct sb_attempt *a, struct sb_root **out,
                     struct sb_error *err) {
    const char *packing = target->packing ? sb_root_upper(target->packing->root) : NULL;
    return sb_target_run(target, a->result, &a->site, a->layer, packing, out, err);
}

/* Takes over lock: the key stays locked until its record is there. */
static void start_packing(struct sb_target *target, struct sb_attempt *a, struct sb_root *root,
                          double start, int lock) {
    sb_assert(!target->packing && lock >= 0);
    struct sb_target_packing *p = sb_alloc(sizeof *p);
    p->target = target;
    p->attempt = *a;
    *a = (struct sb_attempt){.result = a->result};
    p->root = root;
    p->options = pack_options(target, a->result, &p->growing);
    p->start = start;
    p->lock = lock;
    target->packing = p;
    sb_target_notify(target, p->attempt.result, SB_EVENT_LAYER_PACK, NULL, 0);
    p->has_thread = sb_thread_start(&p->thread, pack_thread, p) == 0;
    if (!p->has_thread) /* none to be had: pack now */
        pack_thread(p);
}

/* Whether a layer may run while the one below it is still being packed, so that its key isn't known
 * yet: only when no record can be waiting for it. */
static bool may_run_ahead(const struct sb_target *target, size_t result) {
    const struct sb_recipe_layer *layer = sb_target_layer(target, result);
    if (!layer || sb_layer_is_copy(layer) || sb_layer_keeps_products(layer) ||
        sb_layer_takes(layer))
        return false;
    const struct sb_build_request *request = target->shop->request;
    struct sb_cache_owner owner = sb_target_owner(target, result);
    return sb_target_is_uncached(target, result) ||
           (request->cache_from.n == 0 && !sb_cache_has_last(target->shop->store, &owner));
}

struct waiting {
    struct sb_target *target;
    size_t result;
};

static void say_waiting(void *data) {
    const struct waiting *w = data;
    sb_target_notify(w->target, w->result, SB_EVENT_WAIT, NULL, 0);
}

/* Waits for whoever builds the same layer. Returns the lock, or -1. */
static int lock_key(struct sb_target *target, struct sb_attempt *a, bool *found,
                    struct sb_error *err) {
    struct waiting who = {target, a->result};
    int lock = sb_cache_lock(target->shop->store, &a->key, say_waiting, &who, err);
    if (lock >= 0)
        *found = !sb_target_is_uncached(target, a->result) && sb_attempt_find(target, a, false);
    return lock;
}

/* What ran ahead gets its key, and the key's lock before the lock of the layer below is dropped:
 * others that wait for that one then wait for this one. */
static int lock_ahead(struct sb_target *target, struct sb_attempt *a, bool *found,
                      struct sb_error *err) {
    sb_autoclose int below = -1;
    if (finish_packing_locked(target, &below, err) < 0 || sb_attempt_key(target, a, err) < 0)
        return -1;
    return lock_key(target, a, found, err);
}

static int build_ahead(struct sb_target *target, struct sb_error *err) {
    sb_autoattempt struct sb_attempt a = {.result = target->next};
    struct sb_layer_result *r = &target->results[a.result];
    struct sb_root *root = NULL;
    double start = sb_clock_seconds();
    r->cause = sb_target_is_uncached(target, a.result) ? sb_target_why_uncached(target, a.result)
                                                       : sb_strdup("never built here");
    if (sb_attempt_site(target, &a, err) < 0 || run_layer(target, &a, &root, err) < 0)
        return -1;
    bool found = false;
    int lock = lock_ahead(target, &a, &found, err);
    if (lock < 0 || found) {
        sb_close_descriptor(&lock);
        sb_root_free(root);
        if (found)
            accept(target, a.result, SB_LAYER_CACHED);
        target->next += found;
        return found ? 0 : -1;
    }
    r->key = a.key.digest;
    start_packing(target, &a, root, start, lock);
    target->next++;
    return 0;
}

static int build_steps(struct sb_target *target, struct sb_attempt *a, struct sb_error *err) {
    bool found = false;
    sb_autoclose int lock = lock_key(target, a, &found, err);
    if (lock < 0)
        return -1;
    if (found) {
        accept(target, a->result, SB_LAYER_CACHED);
        return 0;
    }
    struct sb_root *root = NULL;
    double start = sb_clock_seconds();
    if (run_layer(target, a, &root, err) < 0)
        return -1;
    start_packing(target, a, root, start, sb_steal_fd(&lock));
    if (target->next + 1 < target->result_count && may_run_ahead(target, target->next + 1))
        return 0;
    return sb_target_finish_packing(target, err);
}

/* ---- all layers ---- */

/* The first steps of a layer that is to be built may copy to where the layers below won't have it:
 * better said before they are fetched and steps run. */
static int check_first_copies(struct sb_target *target, const struct sb_attempt *a,
                              struct sb_error *err) {
    size_t count = a->layer ? sb_layer_copies_first(a->layer) : 0;
    struct sb_copy_ground ground;
    struct sb_copy_list list = {0};
    if (count == 0 || count == a->layer->step_count)
        return 0;
    if (sb_target_ground(target, &ground, err) < 0)
        return -1;
    ground.whole = NULL; /* nothing is fetched for this */
    int failed = sb_copy_resolve(a->layer->steps, count, a->site.from, &ground, &list, err);
    sb_copy_list_free(&list);
    return failed ? sb_error_context(err, "layer %s", a->layer->name) : 0;
}

/* In a plan: a layer that is not here. Those above are decided as if it came out as it did last:
 * copies depend on little of what is below, but steps on all of it. */
static int plan_layer(struct sb_target *target, size_t result, enum sb_layer_state state) {
    struct sb_layer_result *r = &target->results[result];
    struct sb_cache_owner owner = sb_target_owner(target, result);
    struct sb_cache_found found = {0};
    r->state = state;
    if (!target->blind && sb_cache_find_last(target->shop->store, &owner, &found))
        sb_image_add_parts(&target->image, &found.parts, r->name, r->summary);
    else
        target->blind = true;
    sb_parts_free(&found.parts);
    if (!target->unsure)
        target->unsure = r->name;
    sb_target_notify(target, result, SB_EVENT_LAYER_DONE, NULL, 0);
    target->next++;
    return 0;
}

/* Whether a plan can't say what becomes of the next layer. */
static bool is_unknown(const struct sb_target *target) {
    const struct sb_recipe_layer *layer = sb_target_layer(target, target->next);
    if (sb_target_unsure_source(target, layer))
        return true;
    return target->unsure && (target->blind || !layer || !sb_layer_is_copy(layer));
}

/* A copy over layers of which nothing is known: when the store has what it would make on none at
 * all, that is most likely it. */
static bool plan_blindly(struct sb_target *target, struct sb_error *err) {
    sb_autoattempt struct sb_attempt a = {.result = target->next};
    if (sb_attempt_site(target, &a, err) < 0 || sb_attempt_key(target, &a, err) < 0 ||
        sb_target_is_uncached(target, a.result) || !sb_attempt_find(target, &a, true))
        return false;
    accept(target, a.result, SB_LAYER_CACHED);
    target->next++;
    return true;
}

static int plan_unknown(struct sb_target *target, struct sb_error *err) {
    const struct sb_recipe_layer *layer = sb_target_layer(target, target->next);
    const char *source = sb_target_unsure_source(target, layer);
    struct sb_error why = {0};
    if (layer && !source && sb_layer_is_copy(layer) && plan_blindly(target, &why))
        return 0;
    if (why.code == SB_E_NOT_FOUND || why.code == SB_E_INTERRUPTED) {
        *err = why;
        return -1;
    }
    bool own = source || !target->base || !target->base->unsure;
    target->results[target->next].cause =
        sb_format("depends on what %s%s turns out to be", own ? "" : "recipe ",
                  source ? source : target->unsure);
    return plan_layer(target, target->next, SB_LAYER_UNKNOWN);
}

/* What the layer reads is not there, or can't be read: so may be what others read. */
static int fail_key(struct sb_target *target, enum sb_target_effort effort, struct sb_error *err) {
    struct sb_error all = {0};
    target->keyless = true;
    if (err->code != SB_E_INTERRUPTED &&
        target->shop->check_inputs(target->shop->data, effort == SB_TARGET_PLAN, &all) < 0)
        *err = all;
    return -1;
}

/* Made without a root. Others that need the same may be at work beside this target: copies are the
 * same on all platforms; before there are any, nobody is. */
static int build_alone(struct sb_target *target, struct sb_attempt *a, bool alone,
                       struct sb_error *err) {
    bool found = false;
    if (alone)
        return build_copy(target, a, err);
    sb_autoclose int lock = lock_key(target, a, &found, err);
    if (lock < 0)
        return -1;
    if (!found)
        return build_copy(target, a, err);
    struct sb_cache_owner owner = sb_target_owner(target, a->result);
    sb_cache_remember(target->shop->store, &a->key, &owner);
    accept(target, a->result, SB_LAYER_CACHED);
    return 0;
}

/* Decides results[next]; 1 when it would need a root and effort forbids it. */
static int decide_layer(struct sb_target *target, enum sb_target_effort effort,
                        struct sb_error *err) {
    sb_autoattempt struct sb_attempt a = {.result = target->next};
    struct sb_layer_result *r = &target->results[a.result];
    struct sb_cache_owner owner = sb_target_owner(target, a.result);
    struct sb_store *store = target->shop->store;
    if (sb_attempt_site(target, &a, err) < 0)
        return -1;
    int by_origin = sb_attempt_find_by_origin(target, &a, err);
    if (by_origin > 0) {
        accept(target, a.result, SB_LAYER_CACHED);
        target->next++;
        return 0;
    }
    if (by_origin < 0)
        return -1;
    if (sb_attempt_key(target, &a, err) < 0)
        return fail_key(target, effort, err);
    bool use_cache = !sb_target_is_uncached(target, a.result);
    if (sb_attempt_find(target, &a, use_cache) && use_cache) {
        sb_cache_remember(store, &a.key, &owner);
        sb_attempt_put_by_origin(target, &a);
        if (effort != SB_TARGET_PLAN)
            sb_attempt_share(target, &a, false);
        accept(target, a.result, SB_LAYER_CACHED);
        target->next++;
        return 0;
    }
    if (target->shop->check_inputs(target->shop->data, effort == SB_TARGET_PLAN, err) < 0)
        return -1;
    if (check_first_copies(target, &a, err) < 0)
        return -1;
    free(r->cause);
    r->cause = use_cache ? sb_cache_explain(store, &a.key, &owner, &a.copies)
                         : sb_target_why_uncached(target, a.result);
    if (effort == SB_TARGET_PLAN)
        return plan_layer(target, a.result, SB_LAYER_BUILT);
    bool copy = a.layer && sb_layer_is_copy(a.layer);
    if (effort == SB_TARGET_NO_ROOT && (!copy || sb_layer_fetches(a.layer)))
        return 1;
    int failed =
        copy ? build_alone(target, &a, effort != SB_TARGET_ALL, err) : build_steps(target, &a, err);
    target->next += !failed;
    return failed;
}

int sb_target_advance(struct sb_target *target, enum sb_target_effort effort,
                      struct sb_error *err) {
    while (target->next < target->result_count) {
        if (sb_interrupt_check(err) < 0)
            return -1;
        int result;
        if (target->packing && may_run_ahead(target, target->next))
            result = build_ahead(target, err);
        else if (sb_target_finish_packing(target, err) < 0)
            return -1;
        else if (effort == SB_TARGET_PLAN && is_unknown(target))
            result = plan_unknown(target, err);
        else
            result = decide_layer(target, effort, err);
        if (result != 0)
            return result;
    }
    if (sb_target_finish_packing(target, err) < 0)
        return -1;
    sb_target_warn_outputs(target);
    sb_image_configure(&target->image, &target->recipe->image, &target->env);
    sb_image_say_health(&target->image, &target->recipe->service);
    if (effort == SB_TARGET_PLAN)
        return 0;
    if (target->recipe->kind != SB_RECIPE_FILE && !target->until)
        return 0; /* nobody will name it */
    if (sb_target_describe_paths(target, err) < 0)
        return -1;
    return sb_image_save(target->shop->store, &target->image, target->shop->epoch, err);
}

void sb_target_reset(struct sb_target *target) {
    struct sb_error ignored = {0};
    sb_target_finish_packing(target, &ignored);
    sb_target_stack_free(target->stack);
    sb_target_sources_free(target->sources);
    for (size_t i = 0; i < target->result_count; i++) {
        free(target->results[i].name);
        free(target->results[i].summary);
        free(target->results[i].cause);
        sb_parts_free(&target->results[i].parts);
    }
    free(target->results);
    if (target->own_context)
        sb_context_close(target->context);
    sb_image_free(&target->image);
    sb_pairs_free(&target->env);
    free(target->workdir);
    free(target->pinned);
    free(target->shown_platform);
    json_decref(target->said_paths);
    const struct sb_target was = *target;
    *target = (struct sb_target){.shop = was.shop,
                                 .recipe = was.recipe,
                                 .platform = was.platform,
                                 .base = was.base,
                                 .needs = was.needs,
                                 .need_count = was.need_count,
                                 .dependents = was.dependents,
                                 .dependent_count = was.dependent_count,
                                 .dependent_cap = was.dependent_cap,
                                 .open = was.need_count,
                                 .path = was.path,
                                 .uncached = was.uncached,
                                 .until = was.until};
}

void sb_target_free(struct sb_target *target) {
    sb_target_reset(target);
    sb_strings_free(&target->uncached);
    free(target->needs);
    free(target->dependents);
    free(target->path);
    free(target);
}
