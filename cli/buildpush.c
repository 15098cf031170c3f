#include "cli/buildpush.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "builder/layer_key.h"

struct waiting {
    size_t id; /* of its events */
    struct sb_layer layer;
};

struct sb_build_push {
    const struct sb_cli_push *options;
    struct sb_registry *registry;
    struct sb_store *store;
    const struct sb_build *build;
    const struct sb_build_request *request;
    struct sb_progress *progress;
    json_t **facts; /* of each recipe */

    /* Of a single image: */
    struct sb_push_targets early; /* their tags are known only at the end */
    struct sb_pusher **pushers;   /* one for each of them */
    struct waiting *waiting;      /* layers that are there, while nothing is known to change */
    size_t waiting_count, waiting_cap;
    bool changed;          /* something is built: this image can't be in the registry yet */
    bool may_have_threads; /* nothing that needs this process to have one thread is still to come */
};

/* ---- where to ---- */

static bool has_whole_names(const struct sb_build_request *request) {
    for (size_t i = 0; i < request->tags.n; i++)
        if (sb_reference_has_host(request->tags.v[i]))
            return true;
    return false;
}

static int check_recipe(const struct sb_recipe *recipe, struct sb_error *err) {
    struct sb_reference reference;
    if (!recipe->image.repository) {
        sb_fail(err, SB_E_USAGE, "--push: %s does not say where to push its image", recipe->path);
        return sb_error_hint(err, "add image: {repository: HOST/NAME} to it, or "
                                  "--tag HOST/NAME:TAG to the command line");
    }
    if (sb_cli_registry_target(recipe->image.repository, "image.repository", &reference, err) < 0)
        return sb_error_context(err, "--push: %s", recipe->path);
    sb_reference_free(&reference);
    return 0;
}

/* What the recipe says of its own repository holds for no other. */
static void set_options(struct sb_push_targets *targets, const struct sb_recipe *recipe) {
    struct sb_reference own;
    if (!recipe->image.repository || sb_reference_parse(recipe->image.repository, &own, NULL) < 0)
        return;
    for (size_t i = 0; i < targets->n; i++)
        if (!strcmp(targets->v[i].repository.host, own.host) &&
            !strcmp(targets->v[i].repository.repository, own.repository))
            targets->v[i].ecr = recipe->image.ecr;
    sb_reference_free(&own);
}

/* Whole names of --tag, if there are any, else the recipe's repository with all tags. */
static int find_targets(const struct sb_build_push *push, const struct sb_build_result *result,
                        struct sb_push_targets *out, struct sb_error *err) {
    bool whole = has_whole_names(push->request);
    for (size_t i = 0; i < result->tags.n; i++) {
        const char *name = result->tags.v[i];
        if (sb_reference_has_host(name) != whole)
            continue;
        sb_autofree char *text =
            whole ? sb_strdup(name)
                  : sb_format("%s:%s", result->recipe->image.repository, strrchr(name, ':') + 1);
        if (sb_push_targets_add(out, text, "--push", err) < 0)
            return -1;
    }
    if (whole || out->n > 0)
        return 0;
    /* An image that keeps its date tag gets no new one. */
    return sb_push_targets_add(out, result->recipe->image.repository, "--push", err);
}

static int find_early(struct sb_build_push *push, struct sb_error *err) {
    const struct sb_recipe *recipe = sb_build_result(push->build, 0)->recipe;
    if (!has_whole_names(push->request))
        return sb_push_targets_add(&push->early, recipe->image.repository, "--push", err);
    for (size_t i = 0; i < push->request->tags.n; i++)
        if (sb_reference_has_host(push->request->tags.v[i]) &&
            sb_push_targets_add(&push->early, push->request->tags.v[i], "--tag", err) < 0)
            return -1;
    return 0;
}

/* ---- while it is built ---- */

static bool needs_root(const struct sb_recipe *recipe) {
    for (; recipe; recipe = recipe->base) {
        if (recipe->from.kind == SB_FROM_BOOTSTRAP)
            return true;
        for (size_t i = 0; i < recipe->layer_count; i++)
            if (!sb_layer_is_copy(&recipe->layers[i]))
                return true;
    }
    return false;
}

static void send_layer(struct sb_build_push *push, const struct waiting *layer) {
    for (size_t i = 0; i < push->early.n; i++)
        sb_pusher_add_grown(push->pushers[i], layer->id, &layer->layer);
}

/* Of a layer that is being packed: it is new, and most likely to the registry as well. */
static void send_growth(struct sb_build_push *push, size_t id,
                        const struct sb_layer_growth *growth) {
    for (size_t i = 0; i < push->early.n && push->may_have_threads; i++)
        sb_pusher_grow(push->pushers[i], id, growth->media_type, growth->fd, growth->size);
}

static void send_waiting(struct sb_build_push *push) {
    if (!push->changed || !push->may_have_threads)
        return;
    for (size_t i = 0; i < push->waiting_count; i++)
        send_layer(push, &push->waiting[i]);
    push->waiting_count = 0;
}

void sb_build_push_notify(struct sb_build_push *push, const struct sb_event *event) {
    if (push->early.n == 0)
        return;
    switch (event->type) {
    case SB_EVENT_LAYER_START:
        push->changed = true;
        break;
    case SB_EVENT_ALONE:
        push->may_have_threads = true; /* but not before the next event */
        return;
    case SB_EVENT_LAYER_DONE:
        SB_GROW(push->waiting, push->waiting_count, push->waiting_cap);
        push->waiting[push->waiting_count++] = (struct waiting){event->id, event->layer->layer};
        break;
    case SB_EVENT_LAYER_GROW:
        send_growth(push, event->id, event->growth);
        break;
    default:
        break;
    }
    send_waiting(push);
}

/* ---- start and end ---- */

int sb_build_push_new(const struct sb_cli_push *options, struct sb_registry *registry,
                      struct sb_store *store, const struct sb_build *build,
                      const struct sb_build_request *request, struct sb_progress *progress,
                      struct sb_build_push **out, struct sb_error *err) {
    size_t count = request->recipe_count;
    *out = NULL;
    for (size_t i = 0; i < count && !has_whole_names(request); i++)
        if (check_recipe(sb_build_result(build, i)->recipe, err) < 0)
            return -1;
    struct sb_build_push *push = sb_alloc(sizeof *push);
    *push = (struct sb_build_push){.options = options,
                                   .registry = registry,
                                   .store = store,
                                   .build = build,
                                   .request = request,
                                   .progress = progress};
    push->facts = sb_alloc((count + 1) * sizeof *push->facts);
    for (size_t i = 0; i < count; i++)
        push->facts[i] = json_array();
    if (count == 1 && find_early(push, err) < 0) {
        sb_build_push_free(push);
        return -1;
    }
    set_options(&push->early, sb_build_result(build, 0)->recipe);
    push->may_have_threads = count == 1 && !needs_root(sb_build_result(build, 0)->recipe);
    push->pushers = sb_alloc((push->early.n + 1) * sizeof *push->pushers);
    for (size_t i = 0; i < push->early.n; i++)
        push->pushers[i] = sb_cli_pusher_new(options, registry, store, &push->early.v[i], progress);
    *out = push;
    return 0;
}

/* The one that has begun for that repository, or NULL. */
static struct sb_pusher *take_pusher(struct sb_build_push *push,
                                     const struct sb_push_target *target) {
    for (size_t i = 0; i < push->early.n; i++) {
        const struct sb_reference *r = &push->early.v[i].repository;
        if (!strcmp(r->host, target->repository.host) &&
            !strcmp(r->repository, target->repository.repository))
            return sb_steal(push->pushers[i]);
    }
    return NULL;
}

static int push_result(struct sb_build_push *push, size_t index, struct sb_error *err) {
    const struct sb_build_result *result = sb_build_result(push->build, index);
    struct sb_push_targets targets = {0};
    int rc = find_targets(push, result, &targets, err);
    set_options(&targets, result->recipe);
    for (size_t i = 0; i < targets.n && rc == 0; i++)
        rc = sb_cli_push_image(push->options, push->registry, push->store, &result->image,
                               &targets.v[i], take_pusher(push, &targets.v[i]), push->progress,
                               push->facts[index], err);
    sb_push_targets_free(&targets);
    return rc;
}

int sb_build_push_finish(struct sb_build_push *push, struct sb_error *err) {
    for (size_t i = 0; i < push->request->recipe_count; i++)
        if (push_result(push, i, err) < 0)
            return sb_error_context(err, "pushing %s",
                                    sb_build_result(push->build, i)->recipe->name);
    return 0;
}

const json_t *sb_build_push_facts(const struct sb_build_push *push, size_t index) {
    return push->facts[index];
}

void sb_build_push_free(struct sb_build_push *push) {
    if (!push)
        return;
    for (size_t i = 0; push->pushers && i < push->early.n; i++)
        sb_pusher_free(push->pushers[i]);
    for (size_t i = 0; i < push->request->recipe_count; i++)
        json_decref(push->facts[i]);
    free(push->pushers);
    free(push->facts);
    free(push->waiting);
    sb_push_targets_free(&push->early);
    free(push);
}
