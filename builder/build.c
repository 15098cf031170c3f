#include "builder/build_private.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/process.h"
#include "builder/choice.h"
#include "builder/remote_cache.h"
#include "builder/test.h"
#include "builder/version.h"
#include "document/image_config.h"
#include "sandbox/userns.h"

/* 2020-01-01: any constant will do, and this one is plainly not a time of building. */
#define DEFAULT_EPOCH INT64_C(1577836800)

/* ---- making the graph ---- */

static int read_epoch(int64_t *out, struct sb_error *err) {
    const char *text = getenv("SOURCE_DATE_EPOCH");
    *out = DEFAULT_EPOCH;
    if (!text || !*text)
        return 0;
    char *end;
    long long value = strtoll(text, &end, 10);
    if (*end || value < 0 || value > INT64_C(253402300799)) {
        sb_fail(err, SB_E_USAGE, "SOURCE_DATE_EPOCH=%s is not a number of seconds since 1970",
                text);
        return sb_error_hint(err, "unset it, or set it as in SOURCE_DATE_EPOCH=%lld",
                             (long long)DEFAULT_EPOCH);
    }
    *out = value;
    return 0;
}

static bool has_target(const struct sb_build *build, size_t of, const struct sb_target *target) {
    for (size_t i = 0; i < build->wanted_count; i++)
        if (build->wanted[i].of == of && build->wanted[i].target == target)
            return true;
    return false;
}

/* Whether two of the request are one recipe. */
static bool is_same(const struct sb_build *build, size_t a, size_t b) {
    for (size_t i = 0; i < build->wanted_count; i++)
        if (build->wanted[i].of == a)
            return has_target(build, b, build->wanted[i].target);
    return false;
}

/* Each would take the tags of the other. */
static int check_names(const struct sb_build *build, struct sb_error *err) {
    for (size_t i = 0; i < build->shop.request->recipe_count; i++)
        for (size_t k = 0; k < i; k++) {
            const struct sb_recipe *a = build->results[k].recipe, *b = build->results[i].recipe;
            if (is_same(build, i, k) || strcmp(a->name, b->name) != 0)
                continue;
            sb_fail(err, SB_E_USAGE, "%s and %s both make an image named %s", a->path, b->path,
                    a->name);
            return sb_error_hint(err, "build one at a time, or give each a name of its own");
        }
    return 0;
}

/* The image specification wants one at least (manifest.md), and so does whoever reads images. */
static int check_layers(const struct sb_build *build, struct sb_error *err) {
    for (size_t i = 0; i < build->wanted_count; i++) {
        const struct sb_recipe *r = build->wanted[i].target->recipe;
        size_t layers = r->layer_count;
        const struct sb_left_out *left_out = r->left_out_count ? r->left_out : NULL;
        for (; r->base; layers += r->layer_count) {
            r = r->base;
            left_out = left_out || r->left_out_count == 0 ? left_out : r->left_out;
        }
        if (layers > 0 || r->from.kind != SB_FROM_SCRATCH)
            continue;
        sb_fail(err, SB_E_RECIPE, "%s: its image would have no layer",
                build->wanted[i].target->recipe->path);
        if (left_out)
            return sb_error_hint(err, "all are left out: %s, as %s", left_out->layer.name,
                                 left_out->why);
        return sb_error_hint(err, "add layers: to it, or stand it on something else than scratch");
    }
    return 0;
}

static void warn(void *data, const char *message) {
    sb_workshop_warn(data, "%s", message);
}

static int open_remote_cache(struct sb_build *build, struct sb_error *err) {
    const struct sb_build_request *request = build->shop.request;
    if (!request->registry || (request->cache_from.n == 0 && !request->cache_to))
        return 0;
    struct sb_remote_cache_options options = {.store = build->shop.store,
                                              .registry = request->registry,
                                              .from = &request->cache_from,
                                              .to = request->cache_to,
                                              .replace = request->no_cache,
                                              .warn = warn,
                                              .data = &build->shop};
    return sb_remote_cache_new(&options, &build->shop.remote, err);
}

static int check_inputs(void *data, bool deep, struct sb_error *err) {
    return sb_build_check_inputs(data, deep, err);
}

enum { RECALL_FROM = 8 }; /* layers: of fewer, records are read as quickly */

static void open_recall(struct sb_build *build) {
    size_t layers = 0;
    for (size_t i = 0; i < build->target_count; i++)
        layers += build->targets[i]->recipe->layer_count;
    if (layers >= RECALL_FROM && build->wanted_count > 0)
        build->shop.shelf.recall = sb_recall_open(build->shop.store, build->wanted[0].target->path);
}

int sb_build_new(struct sb_store *store, const struct sb_settings *settings,
                 const struct sb_build_request *request, struct sb_build **out,
                 struct sb_error *err) {
    struct sb_build *build = sb_alloc(sizeof *build);
    build->shop = (struct sb_workshop){.store = store,
                                       .settings = settings,
                                       .request = request,
                                       .check_inputs = check_inputs,
                                       .data = build};
    pthread_mutex_init(&build->lock, NULL);
    sb_workshop_init(&build->shop);
    sb_loads_init(&build->loads, request, settings);
    pthread_cond_init(&build->changed, NULL);
    if (read_epoch(&build->shop.epoch, err) < 0 || sb_build_load(build, err) < 0 ||
        check_names(build, err) < 0 || check_layers(build, err) < 0 ||
        sb_build_choose(build, err) < 0 || sb_build_check_given(build, err) < 0 ||
        open_remote_cache(build, err) < 0) {
        sb_build_free(build);
        return -1;
    }
    open_recall(build);
    *out = build;
    return 0;
}

void sb_build_free(struct sb_build *build) {
    if (!build)
        return;
    sb_assert(build->running == 0);
    for (size_t i = build->target_count; i-- > 0;)
        sb_target_free(build->targets[i]);
    sb_build_free_results(build);
    sb_loads_free(&build->loads);
    sb_remote_cache_free(build->shop.remote);
    free(build->targets);
    free(build->last_path);
    free(build->last_real);
    pthread_mutex_destroy(&build->lock);
    sb_workshop_free(&build->shop);
    pthread_cond_destroy(&build->changed);
    free(build);
}

/* ---- building ---- */

/* What is made is no release, nor on its way to be one. */
static bool is_partial(const struct sb_build_request *request) {
    return request->until || request->untagged;
}

/* What is wrong with versions and tags is said before anything is built. */
static int find_versions(struct sb_build *build, struct sb_version *out, struct sb_error *err) {
    for (size_t i = 0; i < build->shop.request->recipe_count && !is_partial(build->shop.request);
         i++)
        if (sb_version_find(build->shop.store, build->results[i].recipe, build->shop.request,
                            &out[i], err) < 0)
            return -1;
    return 0;
}

int sb_build_plan(struct sb_build *build, struct sb_error *err) {
    sb_autofree struct sb_version *versions =
        sb_alloc((build->shop.request->recipe_count + 1) * sizeof *versions);
    bool pending;
    if (find_versions(build, versions, err) < 0 ||
        sb_graph_advance(build, SB_TARGET_PLAN, err) < 0 ||
        sb_tests_find(build, &pending, err) < 0 || sb_build_check_platforms(build, true, err) < 0)
        return -1;
    sb_build_collect(build);
    return 0;
}

/* A record of a shared cache was wrong, and isn't used any more: what stands on that layer is not
 * what was thought. All that is right is found in the store now. */
static void restart(struct sb_build *build, struct sb_error *err) {
    const struct sb_event event = {.type = SB_EVENT_RESTART};
    sb_workshop_warn(&build->shop, "%s: it is built here instead", err->message);
    sb_error_clear(err);
    for (size_t i = build->target_count; i-- > 0;)
        sb_target_reset(build->targets[i]);
    sb_shelf_forget_layers(&build->shop.shelf);
    build->shop.next_id = 0;
    sb_workshop_tell(&build->shop, &event);
}

static void notify_alone(struct sb_build *build) {
    struct sb_event event = {.type = SB_EVENT_ALONE};
    sb_workshop_tell(&build->shop, &event);
}

/* Downloads need no root, as little as copies; whatever is decided here is what
 * sb_recipe_needs_root tells of the recipes: others rely on it for how many threads this process
 * may have. */
static int enter_namespaces(struct sb_build *build, bool tests, struct sb_error *err) {
    bool needed = tests;
    for (size_t i = 0; i < build->target_count; i++)
        needed = needed || (build->targets[i]->state != SB_TARGET_DONE &&
                            sb_recipe_runs_steps(build->targets[i]->recipe));
    if (!needed)
        return 0;
    notify_alone(build);
    return sb_userns_enter(err) < 0 ? -1 : sb_store_renew(build->shop.store, err);
}

/* In the images, when they are there. */
static bool has_tests(const struct sb_build *build) {
    const struct sb_build_request *request = build->shop.request;
    size_t count = 0;
    for (size_t i = 0; i < build->wanted_count; i++)
        count += build->wanted[i].target->recipe->test_count;
    return count > 0 && !request->skip_tests && !is_partial(request);
}

static int run_tests(struct sb_build *build, struct sb_error *err) {
    bool pending;
    if (sb_tests_find(build, &pending, err) < 0)
        return -1;
    if (pending && sb_build_check_platforms(build, false, err) < 0)
        return -1;
    return pending ? sb_tests_run(build, err) : 0;
}

static int advance(struct sb_build *build, bool again, struct sb_error *err) {
    int left = sb_graph_advance(build, SB_TARGET_NO_ROOT, err);
    bool pending = left > 0 && has_tests(build);
    if (left == 0 && sb_tests_find(build, &pending, err) < 0)
        return -1;
    if ((left > 0 || pending) && !again) {
        const struct sb_build_request *request = build->shop.request;
        if (sb_build_check_inputs(build, true, err) < 0 ||
            sb_build_check_platforms(build, false, err) < 0)
            return -1;
        if (request->before_steps && request->before_steps(request->data, err) != 0)
            return -1;
        if (enter_namespaces(build, pending, err) < 0)
            return -1;
    }
    if (!build->shop.request->share_last)
        sb_remote_cache_start(build->shop.remote);
    return left > 0 ? sb_graph_finish(build, err) : left;
}

int sb_build_run(struct sb_build *build, struct sb_error *err) {
    size_t count = build->shop.request->recipe_count;
    sb_autofree struct sb_version *versions = sb_alloc((count + 1) * sizeof *versions);
    sb_autostrings struct sb_strings given = {0};
    if (build->shop.request->until &&
        sb_version_only_given(build->results[0].recipe, build->shop.request, &given, err) < 0)
        return -1;
    if (find_versions(build, versions, err) < 0)
        return -1;
    int failed = advance(build, false, err);
    while (failed && atomic_exchange(&build->shop.rejected, false) && !sb_interrupt_signal()) {
        restart(build, err);
        failed = advance(build, true, err);
    }
    if (!failed)
        failed = run_tests(build, err);
    sb_build_collect(build);
    return failed ? -1 : sb_build_name(build, versions, err);
}

void sb_build_share(struct sb_build *build) {
    sb_remote_cache_finish(build->shop.remote);
}
