#include "builder/build.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "builder/choice.h"
#include "builder/graph.h"
#include "builder/remote_cache.h"
#include "builder/target.h"
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

static void override(const struct sb_build_request *request, const struct sb_recipe *recipe) {
    size_t n;
    struct sb_recipe *const *all = sb_recipe_all(recipe, &n);
    for (size_t i = 0; request->compression && i < n; i++)
        all[i]->compression = *request->compression;
}

static size_t index_of(const struct sb_build *build, const struct sb_target *target) {
    size_t i = 0;
    while (build->targets[i] != target)
        i++;
    return i;
}

static int load_recipes(struct sb_build *build, struct sb_error *err) {
    const struct sb_build_request *request = build->request;
    struct sb_recipe_options options = {
        .allowed = &request->allow, .trusted = &build->settings->trust, .set = &request->set};
    build->recipes = sb_alloc((request->recipe_count + 1) * sizeof(struct sb_recipe *));
    build->requested = sb_alloc((request->recipe_count + 1) * sizeof(size_t));
    build->results = sb_alloc((request->recipe_count + 1) * sizeof(struct sb_build_result));
    build->labelled = sb_alloc((request->recipe_count + 1) * sizeof(struct sb_image));
    for (size_t i = 0; i < request->recipe_count; i++) {
        struct sb_target *target = NULL;
        if (sb_recipe_load(request->recipes[i], &options, &build->recipes[i], err) < 0)
            return -1;
        override(request, build->recipes[i]);
        if (sb_graph_add(build, build->recipes[i], &target, err) < 0)
            return -1;
        build->requested[i] = index_of(build, target);
        build->results[i].recipe = build->recipes[i];
    }
    return 0;
}

/* Each would take the tags of the other. */
static int check_names(const struct sb_build *build, struct sb_error *err) {
    for (size_t i = 0; i < build->request->recipe_count; i++)
        for (size_t k = 0; k < i; k++) {
            const struct sb_recipe *a = build->recipes[k], *b = build->recipes[i];
            if (build->requested[i] == build->requested[k] || strcmp(a->name, b->name) != 0)
                continue;
            sb_fail(err, SB_E_USAGE, "%s and %s both make an image named %s", a->path, b->path,
                    a->name);
            return sb_error_hint(err, "build one at a time, or give each a name of its own");
        }
    return 0;
}

/* The image specification wants one at least (manifest.md), and so does whoever reads images. */
static int check_layers(const struct sb_build *build, struct sb_error *err) {
    for (size_t i = 0; i < build->request->recipe_count; i++) {
        const struct sb_recipe *r = build->recipes[i];
        size_t layers = r->layer_count;
        const struct sb_left_out *left_out = r->left_out_count ? r->left_out : NULL;
        for (; r->base; layers += r->layer_count) {
            r = r->base;
            left_out = left_out || r->left_out_count == 0 ? left_out : r->left_out;
        }
        if (layers > 0 || r->from.kind != SB_FROM_SCRATCH)
            continue;
        sb_fail(err, SB_E_RECIPE, "%s: its image would have no layer", build->recipes[i]->path);
        if (left_out)
            return sb_error_hint(err, "all are left out: %s, as %s", left_out->layer.name,
                                 left_out->why);
        return sb_error_hint(err, "add layers: to it, or stand it on something else than scratch");
    }
    return 0;
}

int sb_build_threads(const struct sb_build *build) {
    if (build->request->jobs > 0)
        return build->request->jobs;
    if (build->settings->jobs > 0)
        return (int)build->settings->jobs;
    return sb_core_count();
}

static void warn(void *data, const char *message) {
    sb_build_warn(data, "%s", message);
}

static int open_remote_cache(struct sb_build *build, struct sb_error *err) {
    const struct sb_build_request *request = build->request;
    if (!request->registry || (request->cache_from.n == 0 && !request->cache_to))
        return 0;
    struct sb_remote_cache_options options = {.store = build->store,
                                              .registry = request->registry,
                                              .from = &request->cache_from,
                                              .to = request->cache_to,
                                              .replace = request->no_cache,
                                              .warn = warn,
                                              .data = build};
    return sb_remote_cache_new(&options, &build->remote, err);
}

int sb_build_new(struct sb_store *store, const struct sb_settings *settings,
                 const struct sb_build_request *request, struct sb_build **out,
                 struct sb_error *err) {
    struct sb_build *build = sb_alloc(sizeof *build);
    build->store = store;
    build->settings = settings;
    build->request = request;
    pthread_mutex_init(&build->lock, NULL);
    pthread_mutex_init(&build->notify_lock, NULL);
    pthread_cond_init(&build->changed, NULL);
    if (read_epoch(&build->epoch, err) < 0 || load_recipes(build, err) < 0 ||
        check_names(build, err) < 0 || check_layers(build, err) < 0 ||
        sb_build_choose(build, err) < 0 || sb_build_check_given(build, err) < 0 ||
        open_remote_cache(build, err) < 0) {
        sb_build_free(build);
        return -1;
    }
    *out = build;
    return 0;
}

static void free_result(struct sb_build_result *result) {
    sb_tests_free_results(result);
    sb_strings_free(&result->tags);
    sb_strings_free(&result->told);
    free(result->version);
    free(result->no_release);
    free((void *)result->layers);
    free((void *)result->needed);
}

void sb_build_free(struct sb_build *build) {
    if (!build)
        return;
    sb_assert(build->running == 0);
    for (size_t i = build->target_count; i-- > 0;)
        sb_target_free(build->targets[i]);
    for (size_t i = 0; i < build->request->recipe_count; i++) {
        if (build->recipes)
            sb_recipe_free(build->recipes[i]);
        if (build->results)
            free_result(&build->results[i]);
        if (build->labelled)
            sb_image_free(&build->labelled[i]);
    }
    sb_remote_cache_free(build->remote);
    sb_strings_free(&build->warned);
    free(build->targets);
    free(build->last_path);
    free(build->last_real);
    free(build->recipes);
    free(build->requested);
    free(build->results);
    free(build->labelled);
    pthread_mutex_destroy(&build->lock);
    pthread_mutex_destroy(&build->notify_lock);
    pthread_cond_destroy(&build->changed);
    free(build);
}

/* ---- results ---- */

static bool is_in_chain(const struct sb_target *top, const struct sb_target *target) {
    while (top && top != target)
        top = top->base;
    return top != NULL;
}

/* What is told of targets that others take something from; of images that no steps were added to,
 * nothing. */
static void collect_needed(struct sb_build *build, const struct sb_target *top,
                           struct sb_build_result *result) {
    size_t count = 0;
    sb_graph_mark(build, top);
    for (size_t i = 0; i < build->target_count; i++)
        count += build->targets[i]->result_count;
    const struct sb_layer_result **all = sb_alloc((count + 1) * sizeof *all);
    count = 0;
    for (size_t i = 0; i < build->target_count; i++) {
        const struct sb_target *n = build->targets[i];
        for (size_t k = n->base_count; n->kept && !is_in_chain(top, n) && k < n->result_count; k++)
            all[count++] = &n->results[k];
    }
    free((void *)result->needed);
    result->needed = all;
    result->needed_count = count;
}

static void collect_result(struct sb_build *build, size_t index) {
    struct sb_build_result *result = &build->results[index];
    struct sb_target *target = build->targets[build->requested[index]];
    collect_needed(build, target, result);
    result->image = target->image; /* shared: the target frees it */
    result->base = sb_target_root(target)->pinned;
    size_t count = 0;
    for (const struct sb_target *n = target; n; n = n->base)
        count += n->result_count;
    const struct sb_layer_result **all = sb_alloc((count + 1) * sizeof *all);
    size_t at = count;
    for (const struct sb_target *n = target; n; n = n->base)
        for (size_t i = n->result_count; i-- > 0;)
            all[--at] = &n->results[i];
    free((void *)result->layers);
    result->layers = all;
    result->layer_count = count;
}

/* What there is to tell of a build that failed. */
static void collect_unfinished(struct sb_build *build) {
    for (size_t i = 0; i < build->request->recipe_count; i++) {
        const struct sb_target *target = build->targets[build->requested[i]];
        if (!target->started)
            continue;
        collect_result(build, i);
        if (target->state != SB_TARGET_DONE) /* it is its base's, if any */
            build->results[i].image.descriptor = (struct sb_descriptor){0};
    }
}

/* What is made is no release, nor on its way to be one. */
static bool is_partial(const struct sb_build_request *request) {
    return request->until || request->untagged;
}

/* What is wrong with versions and tags is said before anything is built. */
static int find_versions(struct sb_build *build, struct sb_version *out, struct sb_error *err) {
    for (size_t i = 0; i < build->request->recipe_count && !is_partial(build->request); i++)
        if (sb_version_find(build->store, build->recipes[i], build->request, &out[i], err) < 0)
            return -1;
    return 0;
}

int sb_build_plan(struct sb_build *build, struct sb_error *err) {
    sb_autofree struct sb_version *versions =
        sb_alloc((build->request->recipe_count + 1) * sizeof *versions);
    bool pending;
    if (find_versions(build, versions, err) < 0 ||
        sb_graph_advance(build, SB_TARGET_PLAN, err) < 0 || sb_tests_find(build, &pending, err) < 0)
        return -1;
    for (size_t i = 0; i < build->request->recipe_count; i++)
        collect_result(build, i);
    return 0;
}

/* The image with a label that says its version: one that others stand on has none. */
static int label_result(struct sb_build *build, size_t index, struct sb_error *err) {
    struct sb_build_result *result = &build->results[index];
    struct sb_image *labelled = &build->labelled[index];
    if (!result->version)
        return 0;
    sb_image_copy(labelled, &result->image);
    sb_image_say_version(labelled, &result->recipe->image, result->version);
    if (sb_image_save(build->store, labelled, build->epoch, err) < 0)
        return -1;
    result->image = *labelled;
    return 0;
}

static int tag_results(struct sb_build *build, const struct sb_version *versions,
                       struct sb_error *err) {
    for (size_t i = 0; i < build->request->recipe_count; i++) {
        struct sb_build_result *result = &build->results[i];
        struct sb_version_tags tags;
        collect_result(build, i);
        if (build->request->untagged)
            continue;
        if (build->request->until) {
            if (sb_version_only_given(result->recipe, build->request, &result->tags, err) < 0)
                return -1;
        } else {
            result->release = versions[i].release;
            sb_version_say(&versions[i], &result->version, &result->no_release);
            if (label_result(build, i, err) < 0 ||
                sb_version_tags(build->store, &versions[i], &result->image, &tags, err) < 0)
                return -1;
            result->tags = tags.names;
            result->told = tags.told;
        }
        if (sb_store_tag(build->store, &result->tags, &result->image.descriptor, err) < 0)
            return -1;
    }
    return 0;
}

/* A record of a shared cache was wrong, and isn't used any more: what stands on that layer is not
 * what was thought. All that is right is found in the store now. */
static void restart(struct sb_build *build, struct sb_error *err) {
    const struct sb_event event = {.type = SB_EVENT_RESTART};
    sb_build_warn(build, "%s: it is built here instead", err->message);
    sb_error_clear(err);
    for (size_t i = build->target_count; i-- > 0;)
        sb_target_reset(build->targets[i]);
    build->next_id = 0;
    if (build->request->notify)
        build->request->notify(build->request->data, &event);
}

static void notify_alone(struct sb_build *build) {
    struct sb_event event = {.type = SB_EVENT_ALONE};
    if (build->request->notify)
        build->request->notify(build->request->data, &event);
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
    return sb_userns_enter(err) < 0 ? -1 : sb_store_renew(build->store, err);
}

/* In the images, when they are there. */
static bool has_tests(const struct sb_build *build) {
    const struct sb_build_request *request = build->request;
    size_t count = 0;
    for (size_t i = 0; i < request->recipe_count; i++)
        count += build->recipes[i]->test_count;
    return count > 0 && !request->skip_tests && !is_partial(request);
}

static int run_tests(struct sb_build *build, struct sb_error *err) {
    bool pending;
    if (sb_tests_find(build, &pending, err) < 0)
        return -1;
    return pending ? sb_tests_run(build, err) : 0;
}

static int advance(struct sb_build *build, bool again, struct sb_error *err) {
    int left = sb_graph_advance(build, SB_TARGET_NO_ROOT, err);
    bool pending = left > 0 && has_tests(build);
    if (left == 0 && sb_tests_find(build, &pending, err) < 0)
        return -1;
    if ((left > 0 || pending) && !again) {
        const struct sb_build_request *request = build->request;
        if (sb_build_check_inputs(build, true, err) < 0)
            return -1;
        if (request->before_steps && request->before_steps(request->data, err) != 0)
            return -1;
        if (enter_namespaces(build, pending, err) < 0)
            return -1;
    }
    if (!build->request->share_last)
        sb_remote_cache_start(build->remote);
    return left > 0 ? sb_graph_finish(build, err) : left;
}

int sb_build_run(struct sb_build *build, struct sb_error *err) {
    size_t count = build->request->recipe_count;
    sb_autofree struct sb_version *versions = sb_alloc((count + 1) * sizeof *versions);
    sb_autostrings struct sb_strings given = {0};
    if (build->request->until &&
        sb_version_only_given(build->results[0].recipe, build->request, &given, err) < 0)
        return -1;
    if (find_versions(build, versions, err) < 0)
        return -1;
    int failed = advance(build, false, err);
    while (failed && atomic_exchange(&build->rejected, false) && !sb_interrupt_signal()) {
        restart(build, err);
        failed = advance(build, true, err);
    }
    if (!failed)
        failed = run_tests(build, err);
    if (failed)
        collect_unfinished(build);
    return failed ? -1 : tag_results(build, versions, err);
}

void sb_build_share(struct sb_build *build) {
    sb_remote_cache_finish(build->remote);
}

const struct sb_build_result *sb_build_result(const struct sb_build *build, size_t index) {
    return &build->results[index];
}

bool sb_build_has_layer(const struct sb_build *build, size_t index,
                        const struct sb_layer_result *layer) {
    const struct sb_target *target = build->targets[build->requested[index]];
    while (target && target->recipe != layer->source)
        target = target->base;
    return target;
}
