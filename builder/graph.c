#include "builder/graph.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"

/* ---- making it ---- */

static struct sb_target *find_target(const struct sb_build *build, const char *path) {
    for (size_t i = 0; i < build->target_count; i++)
        if (!strcmp(build->targets[i]->path, path))
            return build->targets[i];
    return NULL;
}

/* What tells nodes apart, and, in records, what was built last: the file's own path, and what of it
 * is meant. */
static char *path_of(struct sb_build *build, const struct sb_recipe *recipe, struct sb_error *err) {
    char real[PATH_MAX];
    if (!build->last_path || strcmp(build->last_path, recipe->path) != 0) {
        if (!realpath(recipe->path, real)) {
            sb_fail_errno(err, SB_E_NOT_FOUND, "%s", recipe->path);
            return NULL;
        }
        free(build->last_path);
        free(build->last_real);
        build->last_path = sb_strdup(recipe->path);
        build->last_real = sb_strdup(real);
    }
    const char *path = build->last_real;
    return recipe->kind == SB_RECIPE_STAGE   ? sb_format("%s:stage:%s", path, recipe->name)
           : recipe->kind == SB_RECIPE_IMAGE ? sb_format("%s:image:%s", path, recipe->from.image)
                                             : sb_strdup(path);
}

static void add_edge(struct sb_target *target, struct sb_target *needed) {
    target->needs[target->need_count++] = needed;
    SB_GROW(needed->dependents, needed->dependent_count, needed->dependent_cap);
    needed->dependents[needed->dependent_count++] = target;
    target->open++;
}

int sb_graph_add(struct sb_build *build, const struct sb_recipe *recipe, struct sb_target **out,
                 struct sb_error *err) {
    sb_autofree char *path = path_of(build, recipe, err);
    if (!path)
        return -1;
    *out = find_target(build, path);
    if (*out)
        return 0;
    sb_autofree struct sb_target **needs = sb_alloc((recipe->need_count + 1) * sizeof *needs);
    for (size_t i = 0; i < recipe->need_count; i++)
        if (sb_graph_add(build, recipe->needs[i], &needs[i], err) < 0)
            return -1;
    struct sb_target *target = *out = sb_alloc(sizeof *target);
    target->build = build;
    target->recipe = recipe;
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

void sb_graph_mark(struct sb_build *build, const struct sb_target *target) {
    for (size_t i = build->target_count; i-- > 0;) { /* each comes after those that it needs */
        struct sb_target *one = build->targets[i];
        one->kept = one == target;
        for (size_t k = 0; k < one->dependent_count; k++)
            one->kept = one->kept || one->dependents[k]->kept;
    }
}

/* Of those that are dropped. */
static void forget_dependents(struct sb_target *target) {
    size_t n = 0;
    for (size_t i = 0; i < target->dependent_count; i++)
        if (target->dependents[i]->kept)
            target->dependents[n++] = target->dependents[i];
    target->dependent_count = n;
}

void sb_graph_keep(struct sb_build *build, const struct sb_target *target) {
    size_t n = 0;
    sb_graph_mark(build, target);
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
    struct sb_build *build = target->build;
    if (sb_target_start(target, err) < 0)
        return -1;
    sb_assert(!target->base || target->base->started);
    pthread_mutex_lock(&build->lock);
    target->first_id = build->next_id;
    build->next_id += target->result_count;
    pthread_mutex_unlock(&build->lock);
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
static bool wait_for_turn(struct sb_target *target) {
    struct sb_build *build = target->build;
    const int threads = sb_build_threads(build);
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
    settle(target, result == 0);
    sb_assert(build->running >= go);
    build->running -= go;
    pthread_cond_broadcast(&build->changed);
    pthread_mutex_unlock(&build->lock);
    return NULL;
}

int sb_graph_finish(struct sb_build *build, struct sb_error *err) {
    int failed = 0;
    size_t started = 0;
    sb_autofree struct sb_target **waiting = sb_alloc((build->target_count + 1) * sizeof *waiting);
    for (size_t i = 0; i < build->target_count; i++) {
        struct sb_target *target = build->targets[i];
        if (target->state == SB_TARGET_DONE)
            continue;
        if (sb_thread_start(&target->thread, target_thread, target) != 0) {
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
