#include "builder/build.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/process.h"
#include "builder/remote_cache.h"
#include "builder/target.h"
#include "builder/userns.h"
#include "builder/version.h"

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

static struct sb_target *find_target(const struct sb_build *build, const char *path) {
    for (size_t i = 0; i < build->target_count; i++)
        if (!strcmp(build->targets[i]->path, path))
            return build->targets[i];
    return NULL;
}

/* The target of a recipe, and before it those of its bases; one for each file, however often it is
 * named. */
static int add_target(struct sb_build *build, const struct sb_recipe *recipe,
                      struct sb_target **out, struct sb_error *err) {
    char path[PATH_MAX];
    if (!realpath(recipe->path, path))
        return sb_fail_errno(err, SB_E_NOT_FOUND, "%s", recipe->path);
    *out = find_target(build, path);
    if (*out)
        return 0;
    struct sb_target *base = NULL;
    if (recipe->base && add_target(build, recipe->base, &base, err) < 0)
        return -1;
    struct sb_target *target = *out = sb_alloc(sizeof *target);
    target->build = build;
    target->recipe = recipe;
    target->base = base;
    target->path = sb_strdup(path);
    SB_GROW(build->targets, build->target_count, build->target_cap);
    build->targets[build->target_count++] = target;
    return 0;
}

static size_t index_of(const struct sb_build *build, const struct sb_target *target) {
    size_t i = 0;
    while (build->targets[i] != target)
        i++;
    return i;
}

static void override(const struct sb_build_request *request, struct sb_recipe *recipe) {
    for (; request->compression && recipe; recipe = recipe->base)
        recipe->compression = *request->compression;
}

static int load_recipes(struct sb_build *build, struct sb_error *err) {
    const struct sb_build_request *request = build->request;
    struct sb_recipe_options options = {
        .allowed = &request->allow, .trusted = &build->settings->trust, .set = &request->set};
    build->recipes = sb_alloc((request->recipe_count + 1) * sizeof(struct sb_recipe *));
    build->requested = sb_alloc((request->recipe_count + 1) * sizeof(size_t));
    build->results = sb_alloc((request->recipe_count + 1) * sizeof(struct sb_build_result));
    for (size_t i = 0; i < request->recipe_count; i++) {
        struct sb_target *target = NULL;
        if (sb_recipe_load(request->recipes[i], &options, &build->recipes[i], err) < 0)
            return -1;
        override(request, build->recipes[i]);
        if (add_target(build, build->recipes[i], &target, err) < 0)
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

static bool is_given(const struct sb_secrets *secrets, const char *name) {
    for (size_t i = 0; i < secrets->n; i++)
        if (!strcmp(secrets->v[i].name, name))
            return true;
    return false;
}

static int check_secrets_of(const struct sb_build *build, const struct sb_step *step,
                            struct sb_error *err) {
    for (size_t i = 0; i < step->secrets.n; i++) {
        const char *name = step->secrets.v[i];
        if (is_given(&build->request->secrets, name))
            continue;
        sb_fail(err, SB_E_USAGE, "%s:%d: the secret %s was not given", step->place.file,
                step->place.line, name);
        return sb_error_hint(err, "add --secret id=%s,src=FILE or --secret id=%s,env=VARIABLE",
                             name, name);
    }
    return 0;
}

/* Without its secrets a layer has no key; better said before an hour of other layers. */
static int check_secrets(const struct sb_build *build, struct sb_error *err) {
    for (size_t n = 0; n < build->target_count; n++) {
        const struct sb_recipe *recipe = build->targets[n]->recipe;
        for (size_t l = 0; l < recipe->layer_count; l++)
            for (size_t s = 0; s < recipe->layers[l].step_count; s++)
                if (check_secrets_of(build, &recipe->layers[l].steps[s], err) < 0)
                    return -1;
    }
    return 0;
}

static int check_sources_of(struct sb_target *target, const struct sb_step *step,
                            struct sb_error *err) {
    if (!step->kind->look)
        return 0;
    if (!target->context &&
        sb_context_open(target->recipe->context, target->build->store, &target->context, err) < 0)
        return -1;
    return step->kind->look(step, target->context, err) < 0
               ? sb_error_context(err, "%s:%d:%d", step->place.file, step->place.line,
                                  step->place.column)
               : 0;
}

/* What steps read of their contexts is there, before an hour of other layers. */
static int check_sources(const struct sb_build *build, struct sb_error *err) {
    for (size_t n = 0; n < build->target_count; n++) {
        const struct sb_recipe *recipe = build->targets[n]->recipe;
        for (size_t l = 0; l < recipe->layer_count; l++)
            for (size_t s = 0; s < recipe->layers[l].step_count; s++)
                if (check_sources_of(build->targets[n], &recipe->layers[l].steps[s], err) < 0)
                    return -1;
    }
    return 0;
}

static int job_count(const struct sb_build *build) {
    if (build->request->jobs > 0)
        return build->request->jobs;
    if (build->settings->jobs > 0)
        return (int)build->settings->jobs;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 0 ? (int)cores : 1;
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
    build->threads = job_count(build);
    if (read_epoch(&build->epoch, err) < 0 || load_recipes(build, err) < 0 ||
        check_names(build, err) < 0 || check_secrets(build, err) < 0 ||
        check_sources(build, err) < 0 || open_remote_cache(build, err) < 0) {
        sb_build_free(build);
        return -1;
    }
    *out = build;
    return 0;
}

void sb_build_free(struct sb_build *build) {
    if (!build)
        return;
    for (size_t i = build->target_count; i-- > 0;)
        sb_target_free(build->targets[i]);
    for (size_t i = 0; i < build->request->recipe_count; i++) {
        if (build->recipes)
            sb_recipe_free(build->recipes[i]);
        if (build->results) {
            sb_strings_free(&build->results[i].tags);
            free((void *)build->results[i].layers);
        }
    }
    sb_remote_cache_free(build->remote);
    free(build->targets);
    free(build->recipes);
    free(build->requested);
    free(build->results);
    pthread_mutex_destroy(&build->lock);
    pthread_mutex_destroy(&build->notify_lock);
    pthread_cond_destroy(&build->changed);
    free(build);
}

static void notify_alone(struct sb_build *build) {
    struct sb_event event = {.type = SB_EVENT_ALONE};
    if (build->request->notify)
        build->request->notify(build->request->data, &event);
}

/* ---- going through the graph ---- */

static int start_target(struct sb_target *target, struct sb_error *err) {
    if (target->started)
        return 0;
    struct sb_build *build = target->build;
    if (sb_target_start(target, err) < 0)
        return -1;
    pthread_mutex_lock(&build->lock);
    size_t id = 0;
    for (size_t i = 0; i < build->target_count; i++)
        if (build->targets[i] != target && build->targets[i]->started)
            id = id > build->targets[i]->first_id + build->targets[i]->result_count
                     ? id
                     : build->targets[i]->first_id + build->targets[i]->result_count;
    target->first_id = id;
    pthread_mutex_unlock(&build->lock);
    for (size_t i = 0; i < target->base_count; i++)
        sb_target_notify(target, i, SB_EVENT_LAYER_DONE, NULL, 0);
    return 0;
}

/* One after the other, as far as it goes without a root file system. 1: something is left. */
static int advance_all(struct sb_build *build, enum sb_target_effort effort, struct sb_error *err) {
    int left = 0;
    for (size_t i = 0; i < build->target_count; i++) {
        struct sb_target *target = build->targets[i];
        bool ready =
            !target->base || effort == SB_TARGET_PLAN || target->base->state == SB_TARGET_DONE;
        int result = 1;
        if (ready && start_target(target, err) < 0)
            return -1;
        if (ready)
            result = sb_target_advance(target, effort, err);
        if (result < 0)
            return -1;
        target->state = result == 0 ? SB_TARGET_DONE : SB_TARGET_WAITING;
        left |= result;
    }
    return left;
}

/* Waits until the base is done and there is a place to work; false when the base failed, or any
 * other recipe: what is half-way ends its layer, and nothing new begins. */
static bool wait_for_turn(struct sb_target *target) {
    struct sb_build *build = target->build;
    bool go = true;
    pthread_mutex_lock(&build->lock);
    for (;;) {
        for (size_t i = 0; i < build->target_count; i++)
            go = go && build->targets[i]->state != SB_TARGET_FAILED;
        bool ready = !target->base || target->base->state == SB_TARGET_DONE;
        if (!go || (ready && build->running < build->threads))
            break;
        pthread_cond_wait(&build->changed, &build->lock);
    }
    build->running += go;
    pthread_mutex_unlock(&build->lock);
    return go;
}

static void *target_thread(void *data) {
    struct sb_target *target = data;
    struct sb_build *build = target->build;
    bool go = wait_for_turn(target);
    int result = -1;
    if (go)
        result = start_target(target, &target->err) < 0
                     ? -1
                     : sb_target_advance(target, SB_TARGET_ALL, &target->err);
    pthread_mutex_lock(&build->lock);
    target->state = result == 0 ? SB_TARGET_DONE : SB_TARGET_FAILED;
    build->running -= go;
    pthread_cond_broadcast(&build->changed);
    pthread_mutex_unlock(&build->lock);
    return NULL;
}

/* Every unfinished recipe in a thread of its own. */
static int advance_in_threads(struct sb_build *build, struct sb_error *err) {
    int failed = 0;
    size_t started = 0;
    sb_autofree struct sb_target **waiting = sb_alloc((build->target_count + 1) * sizeof *waiting);
    for (size_t i = 0; i < build->target_count; i++) {
        struct sb_target *target = build->targets[i];
        if (target->state == SB_TARGET_DONE)
            continue;
        if (pthread_create(&target->thread, NULL, target_thread, target) != 0) {
            failed = sb_fail(err, SB_E_FAILED, "no thread could be started");
            target->state = SB_TARGET_FAILED;
            break;
        }
        waiting[started++] = target;
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(waiting[i]->thread, NULL);
    for (size_t i = 0; i < started; i++) {
        if (waiting[i]->state != SB_TARGET_FAILED || failed || !waiting[i]->err.code)
            continue;
        *err = waiting[i]->err;
        failed = -1;
    }
    return failed;
}

/* ---- results ---- */

static void collect_result(struct sb_build *build, size_t index) {
    struct sb_build_result *result = &build->results[index];
    struct sb_target *target = build->targets[build->requested[index]];
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

int sb_build_plan(struct sb_build *build, struct sb_error *err) {
    if (advance_all(build, SB_TARGET_PLAN, err) < 0)
        return -1;
    for (size_t i = 0; i < build->request->recipe_count; i++)
        collect_result(build, i);
    return 0;
}

static int tag_results(struct sb_build *build, const struct sb_version *versions,
                       struct sb_error *err) {
    for (size_t i = 0; i < build->request->recipe_count; i++) {
        struct sb_build_result *result = &build->results[i];
        collect_result(build, i);
        if (sb_version_tags(build->store, &versions[i], &result->image, &result->tags, err) < 0 ||
            sb_store_tag(build->store, &result->tags, &result->image.descriptor, err) < 0)
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
    if (build->request->notify)
        build->request->notify(build->request->data, &event);
}

static int advance(struct sb_build *build, bool again, struct sb_error *err) {
    int left = advance_all(build, SB_TARGET_NO_ROOT, err);
    if (left > 0 && !again) {
        const struct sb_build_request *request = build->request;
        if (request->before_steps && request->before_steps(request->data, err) != 0)
            return -1;
        notify_alone(build);
        if (sb_userns_enter(err) < 0 || sb_store_renew(build->store, err) < 0)
            return -1;
    }
    if (!build->request->share_last)
        sb_remote_cache_start(build->remote);
    return left > 0 ? advance_in_threads(build, err) : left;
}

int sb_build_run(struct sb_build *build, struct sb_error *err) {
    size_t count = build->request->recipe_count;
    sb_autofree struct sb_version *versions = sb_alloc((count + 1) * sizeof *versions);
    for (size_t i = 0; i < count; i++)
        if (sb_version_find(build->store, build->recipes[i], build->request, &versions[i], err) < 0)
            return -1;
    int failed = advance(build, false, err);
    while (failed && atomic_exchange(&build->rejected, false) && !sb_interrupt_signal()) {
        restart(build, err);
        failed = advance(build, true, err);
    }
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
