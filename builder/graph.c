#include "builder/graph.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"

/* ---- making it ---- */

/* From the end: the beginnings are mostly the same. */
static bool is_path(const char *a, const char *b, size_t n) {
    while (n > 0 && a[n - 1] == b[n - 1])
        n--;
    return n == 0;
}

static struct sb_target *find_target(const struct sb_build *build, const char *path) {
    size_t n = strlen(path);
    for (size_t i = 0; i < build->target_count; i++) {
        const char *other = build->targets[i]->path;
        if (strlen(other) == n && is_path(other, path, n))
            return build->targets[i];
    }
    return NULL;
}

static int find_real(struct sb_build *build, const char *path, struct sb_error *err) {
    char real[PATH_MAX];
    if (build->last_path && !strcmp(build->last_path, path))
        return 0;
    if (!realpath(path, real))
        return sb_fail_errno(err, SB_E_NOT_FOUND, "%s", path);
    free(build->last_path);
    free(build->last_real);
    build->last_path = sb_strdup(path);
    build->last_real = sb_strdup(real);
    return 0;
}

/* What tells nodes apart, and, in records, what was built last: the file's own path, what of it is
 * meant, and for which platform, if not this machine's. */
static char *path_of(struct sb_build *build, const struct sb_loaded *loaded,
                     const struct sb_recipe *recipe, const struct sb_platform *platform,
                     struct sb_error *err) {
    struct sb_buf out = {0};
    if (find_real(build, recipe->path, err) < 0)
        return NULL;
    sb_buf_adds(&out, build->last_real);
    if (recipe->kind == SB_RECIPE_STAGE)
        sb_buf_addf(&out, ":stage:%s", recipe->name);
    else if (recipe->kind == SB_RECIPE_IMAGE)
        sb_buf_addf(&out, ":image:%s", recipe->from.image);
    if (!sb_platform_is_own(platform)) {
        sb_autofree char *text = sb_platform_text(platform);
        sb_buf_addf(&out, ":platform:%s", text);
    }
    if (platform != loaded->platform && recipe->differs) {
        sb_autofree char *text = sb_platform_text(loaded->platform);
        sb_buf_addf(&out, ":for:%s", text);
    }
    return sb_buf_steal(&out);
}

static void add_edge(struct sb_target *target, struct sb_target *needed) {
    target->needs[target->need_count++] = needed;
    SB_GROW(needed->dependents, needed->dependent_count, needed->dependent_cap);
    needed->dependents[needed->dependent_count++] = target;
    target->open++;
}

/* Where a recipe names what it needs. */
static const struct sb_place *place_of(const struct sb_recipe *recipe, size_t need) {
    for (size_t l = 0; l < recipe->layer_count && recipe->needs[need] != recipe->base; l++)
        for (size_t s = 0; s < recipe->layers[l].step_count; s++) {
            const struct sb_origin *origin;
            for (size_t n = 0; (origin = sb_step_origin(&recipe->layers[l].steps[s], n)); n++)
                if (!sb_origin_is_context(origin) && origin->need == need)
                    return &origin->place;
        }
    return &recipe->from.place;
}

/* A file says by platforms: what it is for, and a stage by platform: what it can only stand for. */
static int check_need(const struct sb_recipe *recipe, size_t need, const struct sb_platform *wanted,
                      const struct sb_target *target, struct sb_error *err) {
    const struct sb_recipe *needed = target->recipe;
    bool is_base = recipe->needs[need] == recipe->base;
    if (needed->platforms.n == 0 && (!is_base || target->platform == wanted))
        return 0;
    const struct sb_place *place = place_of(recipe, need);
    sb_autofree char *text = sb_platform_text(wanted);
    sb_autofree char *its = sb_platform_text(target->platform);
    if (is_base && target->platform != wanted) {
        sb_fail(err, SB_E_RECIPE,
                "%s:%d:%d: the stage %s is for %s (its platform:), and what stands on it is built "
                "for %s",
                place->file, place->line, place->column, needed->name, its, text);
        return sb_error_hint(err, "copy from it instead, or take its platform: away");
    }
    if (sb_strings_has(&needed->platforms, its))
        return 0;
    sb_fail(err, SB_E_RECIPE, "%s:%d:%d: %s is not for %s, which %s is built for", place->file,
            place->line, place->column, needed->path, its, recipe->title);
    return sb_error_hint(err, "add %s to platforms: of %s", its, needed->path);
}

/* What holds the same for all platforms is made for the first one alone, unless something stands on
 * it. */
static const struct sb_loaded *first_loaded(const struct sb_build *build,
                                            const struct sb_loaded *loaded) {
    for (size_t i = 0; i < build->loads.n; i++)
        if (build->loads.v[i]->of == loaded->of)
            return build->loads.v[i];
    return loaded;
}

static int add_need(struct sb_build *build, const struct sb_loaded *loaded,
                    const struct sb_recipe *needed, bool is_base,
                    const struct sb_platform *platform, struct sb_target **out,
                    struct sb_error *err) {
    const struct sb_loaded *first = first_loaded(build, loaded);
    const struct sb_recipe *there =
        needed->copies && !is_base ? sb_recipe_counterpart(needed, first->recipe) : NULL;
    if (there)
        return sb_graph_add(build, first, there, first->platform, out, err);
    if (needed->platform)
        return sb_graph_add(build, loaded, needed,
                            sb_loads_platform(&build->loads, needed->platform), out, err);
    if (platform == loaded->platform)
        return sb_graph_add(build, loaded, needed, platform, out, err);
    const struct sb_loaded *other = sb_loads_get(&build->loads, loaded->of, platform, err);
    const struct sb_recipe *same = other ? sb_recipe_counterpart(needed, other->recipe) : NULL;
    if (!other)
        return -1;
    return same ? sb_graph_add(build, other, same, platform, out, err)
                : sb_graph_add(build, loaded, needed, platform, out, err);
}

int sb_graph_add(struct sb_build *build, const struct sb_loaded *loaded,
                 const struct sb_recipe *recipe, const struct sb_platform *platform,
                 struct sb_target **out, struct sb_error *err) {
    sb_autofree char *path = path_of(build, loaded, recipe, platform, err);
    if (!path)
        return -1;
    *out = find_target(build, path);
    if (*out)
        return 0;
    sb_autofree struct sb_target **needs = sb_alloc((recipe->need_count + 1) * sizeof *needs);
    for (size_t i = 0; i < recipe->need_count; i++)
        if (add_need(build, loaded, recipe->needs[i], recipe->needs[i] == recipe->base, platform,
                     &needs[i], err) < 0 ||
            check_need(recipe, i, platform, needs[i], err) < 0)
            return -1;
    struct sb_target *target = *out = sb_alloc(sizeof *target);
    target->shop = &build->shop;
    target->recipe = recipe;
    target->platform = platform;
    target->path = sb_steal(path);
    target->needs = sb_alloc((recipe->need_count + 1) * sizeof *target->needs);
    for (size_t i = 0; i < recipe->need_count; i++) {
        add_edge(target, needs[i]);
        if (recipe->needs[i] == recipe->base)
            target->base = needs[i];
    }
    SB_GROW(build->targets, build->target_count, build->target_cap);
    build->targets[build->target_count++] = target;
    return 0;
}

/* Of those that are dropped. */
static void forget_dependents(struct sb_target *target) {
    size_t n = 0;
    for (size_t i = 0; i < target->dependent_count; i++)
        if (target->dependents[i]->kept)
            target->dependents[n++] = target->dependents[i];
    target->dependent_count = n;
}

static bool is_wanted(const struct sb_build *build, const struct sb_target *target) {
    for (size_t i = 0; i < build->wanted_count; i++)
        if (build->wanted[i].target == target)
            return true;
    return false;
}

static void mark(struct sb_build *build, const struct sb_target *top) {
    for (size_t i = build->target_count; i-- > 0;) { /* each comes after those that it needs */
        struct sb_target *one = build->targets[i];
        one->kept = top ? one == top : is_wanted(build, one);
        for (size_t k = 0; k < one->dependent_count; k++)
            one->kept = one->kept || one->dependents[k]->kept;
    }
}

void sb_graph_mark(struct sb_build *build, const struct sb_target *target) {
    mark(build, target);
}

void sb_graph_keep(struct sb_build *build) {
    size_t n = 0;
    mark(build, NULL);
    for (size_t i = 0; i < build->target_count; i++)
        forget_dependents(build->targets[i]);
    for (size_t i = 0; i < build->target_count; i++) {
        if (build->targets[i]->kept)
            build->targets[n++] = build->targets[i];
        else
            sb_target_free(build->targets[i]);
    }
    build->target_count = n;
}

/* ---- going through it ---- */

/* A target is done: one edge less of those that need it. Others may be at work. */
static void settle(struct sb_target *target, bool done) {
    target->state = done ? SB_TARGET_DONE : SB_TARGET_FAILED;
    for (size_t i = 0; i < target->dependent_count && done; i++) {
        sb_assert(target->dependents[i]->open > 0);
        target->dependents[i]->open--;
    }
}

static int start_target(struct sb_target *target, struct sb_error *err) {
    if (target->started)
        return 0;
    if (sb_target_start(target, err) < 0)
        return -1;
    sb_assert(!target->base || target->base->started);
    target->first_id = atomic_fetch_add(&target->shop->next_id, target->result_count);
    for (size_t i = 0; i < target->base_count; i++)
        sb_target_notify(target, i, SB_EVENT_LAYER_DONE, NULL, 0);
    return 0;
}

/* The images that recipes stand on, before the first of them is built upon: one may be missing. */
static int start_roots(struct sb_build *build, struct sb_error *err) {
    for (size_t i = 0; i < build->target_count; i++)
        if (!build->targets[i]->base && start_target(build->targets[i], err) < 0)
            return -1;
    return 0;
}

int sb_graph_advance(struct sb_build *build, enum sb_target_effort effort, struct sb_error *err) {
    int left = 0;
    if (start_roots(build, err) < 0)
        return -1;
    for (size_t i = 0; i < build->target_count; i++) {
        struct sb_target *target = build->targets[i];
        int result = 1;
        if (target->state == SB_TARGET_DONE)
            continue;
        if (target->open == 0 && start_target(target, err) < 0)
            return -1;
        if (target->open == 0)
            result = sb_target_advance(target, effort, err);
        if (result < 0)
            return -1;
        if (result == 0)
            settle(target, true);
        left |= result;
    }
    return left;
}

/* Waits until no edge is open and there is a place to work; false when some target failed: what is
 * half-way ends its layer, and nothing new begins. */
static bool wait_for_turn(struct sb_build *build, const struct sb_target *target) {
    const int threads = sb_workshop_threads(&build->shop);
    bool go = true;
    pthread_mutex_lock(&build->lock);
    for (;;) {
        for (size_t i = 0; i < build->target_count; i++)
            go = go && build->targets[i]->state != SB_TARGET_FAILED;
        if (!go || (target->open == 0 && build->running < threads))
            break;
        pthread_cond_wait(&build->changed, &build->lock);
    }
    build->running += go;
    pthread_mutex_unlock(&build->lock);
    return go;
}

struct turn {
    struct sb_build *build;
    struct sb_target *target;
    pthread_t thread;
    struct sb_error err; /* the thread's own until it is joined */
};

static void *target_thread(void *data) {
    struct turn *turn = data;
    struct sb_target *target = turn->target;
    struct sb_build *build = turn->build;
    bool go = wait_for_turn(build, target);
    int result = -1;
    if (go)
        result = start_target(target, &turn->err) < 0
                     ? -1
                     : sb_target_advance(target, SB_TARGET_ALL, &turn->err);
    pthread_mutex_lock(&build->lock);
    settle(target, result == 0);
    sb_assert(build->running >= go);
    build->running -= go;
    pthread_cond_broadcast(&build->changed);
    pthread_mutex_unlock(&build->lock);
    return NULL;
}

/* From now on each target has its own. */
static void part_contexts(struct sb_build *build) {
    build->shop.shelf.closed = true;
    for (size_t i = 0; i < build->target_count; i++)
        if (build->targets[i]->state != SB_TARGET_DONE && !build->targets[i]->own_context)
            build->targets[i]->context = NULL;
}

int sb_graph_finish(struct sb_build *build, struct sb_error *err) {
    part_contexts(build);
    int failed = 0;
    size_t started = 0;
    sb_autofree struct turn *turns = sb_alloc((build->target_count + 1) * sizeof *turns);
    for (size_t i = 0; i < build->target_count; i++) {
        struct sb_target *target = build->targets[i];
        if (target->state == SB_TARGET_DONE)
            continue;
        turns[started].build = build;
        turns[started].target = target;
        if (sb_thread_start(&turns[started].thread, target_thread, &turns[started]) != 0) {
            failed = sb_fail(err, SB_E_FAILED, "no thread could be started");
            target->state = SB_TARGET_FAILED;
            break;
        }
        started++;
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(turns[i].thread, NULL);
    for (size_t i = 0; i < started; i++) {
        if (turns[i].target->state != SB_TARGET_FAILED || failed || !turns[i].err.code)
            continue;
        *err = turns[i].err;
        failed = -1;
    }
    return failed;
}
