#include "cli/buildpush.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "builder/layer_key.h"

struct waiting {
    size_t id; /* of its events */
    struct sb_layer layer;
};

/* What goes on while one image is still being built. */
struct early {
    size_t of, image;               /* indexes of its recipe, and in the result of that */
    struct sb_push_targets targets; /* their tags are known only at the end */
    struct sb_pusher **pushers;     /* one for each of them */
    struct waiting *waiting;        /* layers that are there, while nothing is known to change */
    size_t waiting_count, waiting_cap;
    struct sb_digest *given; /* what these pushers have got */
    size_t given_count, given_cap;
    bool changed; /* something is built: this image can't be in the registry yet */
};

struct sb_build_push {
    const struct sb_cli_push *options;
    struct sb_registry *registry;
    struct sb_store *store;
    const struct sb_build *build;
    const struct sb_build_request *request;
    struct sb_progress *progress;
    json_t **facts;      /* of each recipe */
    struct early *early; /* of each image */
    size_t early_count;
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

static int find_whole(const struct sb_build_result *result, struct sb_push_targets *out,
                      struct sb_error *err) {
    for (size_t i = 0; i < result->tags.n; i++)
        if (sb_reference_has_host(result->tags.v[i]) &&
            sb_push_targets_add(out, result->tags.v[i], "--push", err) < 0)
            return -1;
    return 0;
}

/* Whole names of --tag, if there are any, else the recipe's repository with all tags: which of a
 * release's those are is the registry's to say. */
static int find_targets(const struct sb_build_push *push, const struct sb_build_result *result,
                        struct sb_push_targets *out, struct sb_error *err) {
    if (has_whole_names(push->request))
        return find_whole(result, out, err);
    struct sb_push_target *target =
        sb_push_targets_repository(out, result->recipe->image.repository, "--push", err);
    if (!target)
        return -1;
    sb_strings_copy(&target->tags, &result->told);
    target->release = result->release;
    return 0;
}

static int find_early(const struct sb_build_push *push, struct early *early, struct sb_error *err) {
    const struct sb_recipe *recipe = sb_build_result(push->build, early->of)->recipe;
    struct sb_push_targets *targets = &early->targets;
    if (!has_whole_names(push->request))
        return sb_push_targets_add(targets, recipe->image.repository, "--push", err);
    for (size_t i = 0; i < push->request->tags.n; i++)
        if (sb_reference_has_host(push->request->tags.v[i]) &&
            sb_push_targets_add(targets, push->request->tags.v[i], "--tag", err) < 0)
            return -1;
    return 0;
}

/* ---- while it is built ---- */

/* A layer that images of several platforms have is sent with the first of them. */
static bool was_given(const struct sb_build_push *push, const struct early *to,
                      const struct sb_digest *digest) {
    for (size_t i = 0; i < push->early_count; i++) {
        const struct early *early = &push->early[i];
        for (size_t k = 0; k < early->given_count && early->of == to->of; k++)
            if (sb_digest_equal(&early->given[k], digest))
                return true;
    }
    return false;
}

static void send_waiting(const struct sb_build_push *push, struct early *early) {
    if (!early->changed || !push->may_have_threads)
        return;
    for (size_t i = 0; i < early->waiting_count; i++) {
        const struct waiting *w = &early->waiting[i];
        if (was_given(push, early, &w->layer.descriptor.digest))
            continue;
        SB_GROW(early->given, early->given_count, early->given_cap);
        early->given[early->given_count++] = w->layer.descriptor.digest;
        for (size_t t = 0; t < early->targets.n; t++)
            sb_pusher_add(early->pushers[t], w->id, &w->layer);
    }
    early->waiting_count = 0;
}

/* Of a layer that is being packed: it is new, and most likely to the registry as well. */
static void send_growth(const struct early *early, size_t id,
                        const struct sb_layer_growth *growth) {
    for (size_t t = 0; t < early->targets.n; t++)
        sb_pusher_grow(early->pushers[t], id, growth->media_type, growth->fd, growth->size);
}

static void take_event(const struct sb_build_push *push, struct early *early,
                       const struct sb_event *event) {
    switch (event->type) {
    case SB_EVENT_LAYER_START:
        early->changed = true;
        break;
    case SB_EVENT_LAYER_GROW:
        if (push->may_have_threads)
            send_growth(early, event->id, event->growth);
        break;
    case SB_EVENT_LAYER_DONE:
        for (size_t i = 0; i < event->layer->parts.n; i++) {
            SB_GROW(early->waiting, early->waiting_count, early->waiting_cap);
            early->waiting[early->waiting_count++] =
                (struct waiting){event->id, event->layer->parts.v[i]};
        }
        break;
    default:
        break;
    }
}

/* ---- start and end ---- */

void sb_build_push_compression(const struct sb_cli_push *options,
                               struct sb_build_request *request) {
    static const enum sb_recipe_compression zstd = SB_RECIPE_ZSTD, gzip = SB_RECIPE_GZIP;
    if (options->compression != SB_PUSH_COMPRESSION_KEEP)
        request->compression = options->compression == SB_PUSH_COMPRESSION_GZIP ? &gzip : &zstd;
}

static int start_early(struct sb_build_push *push, struct early *early, struct sb_error *err) {
    struct sb_push_targets *targets = &early->targets;
    if (find_early(push, early, err) < 0)
        return -1;
    set_options(targets, sb_build_result(push->build, early->of)->recipe);
    early->pushers = sb_alloc((targets->n + 1) * sizeof *early->pushers);
    for (size_t i = 0; i < targets->n; i++)
        early->pushers[i] = sb_cli_pusher_new(push->options, push->registry, push->store,
                                              &targets->v[i], push->progress);
    return 0;
}

static void free_early(struct early *early) {
    for (size_t i = 0; early->pushers && i < early->targets.n; i++)
        sb_pusher_free(early->pushers[i]);
    free(early->pushers);
    free(early->waiting);
    free(early->given);
    sb_push_targets_free(&early->targets);
    *early = (struct early){.of = early->of, .image = early->image};
}

/* Layers that were sent may not be part of the images. */
static void restart(struct sb_build_push *push) {
    for (size_t i = 0; i < push->early_count; i++) {
        free_early(&push->early[i]);
        start_early(push, &push->early[i], NULL); /* it went well before */
    }
}

void sb_build_push_notify(struct sb_build_push *push, const struct sb_event *event) {
    if (event->type == SB_EVENT_ALONE) {
        push->may_have_threads = true; /* but not before the next event */
        return;
    }
    if (event->type == SB_EVENT_RESTART)
        restart(push);
    for (size_t i = 0; i < push->early_count; i++) {
        struct early *early = &push->early[i];
        if (event->layer && sb_build_has_layer(push->build, early->of, early->image, event->layer))
            take_event(push, early, event);
        send_waiting(push, early);
    }
}

int sb_build_push_check(struct sb_build_push *push, struct sb_error *err) {
    for (size_t i = 0; i < push->early_count; i++) {
        const struct early *early = &push->early[i];
        for (size_t t = 0; t < early->targets.n && early->image == 0; t++)
            if (sb_pusher_check(early->pushers[t], err) < 0)
                return sb_error_context(err, "pushing %s",
                                        sb_build_result(push->build, early->of)->recipe->name);
    }
    return 0;
}

static void add_images(struct sb_build_push *push, size_t of) {
    const struct sb_build_result *result = sb_build_result(push->build, of);
    push->early =
        sb_realloc(push->early, push->early_count + result->image_count, sizeof *push->early);
    for (size_t i = 0; i < result->image_count; i++) {
        push->early[push->early_count++] = (struct early){.of = of, .image = i};
        push->may_have_threads =
            push->may_have_threads && !sb_recipe_needs_root(result->images[i].recipe);
    }
}

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
    push->may_have_threads = true;
    for (size_t i = 0; i < count; i++) {
        push->facts[i] = json_array();
        add_images(push, i);
    }
    for (size_t i = 0; i < push->early_count; i++)
        if (start_early(push, &push->early[i], err) < 0) {
            sb_build_push_free(push);
            return -1;
        }
    *out = push;
    return 0;
}

/* The one that has begun for that repository, or NULL. */
static struct sb_pusher *take_pusher(struct early *early, const struct sb_push_target *target) {
    for (size_t i = 0; i < early->targets.n; i++) {
        const struct sb_reference *r = &early->targets.v[i].repository;
        if (!strcmp(r->host, target->repository.host) &&
            !strcmp(r->repository, target->repository.repository))
            return sb_steal(early->pushers[i]);
    }
    return NULL;
}

static struct early *early_of(const struct sb_build_push *push, size_t of, size_t image) {
    struct early *early = push->early;
    while (early->of != of || early->image != image)
        early++;
    return early;
}

/* The images of an index. Those for the recipe's other platforms, which were not asked for, stay.
 */
static int push_index(struct sb_build_push *push, size_t index, const struct sb_push_target *target,
                      struct sb_error *err) {
    const struct sb_build_result *result = sb_build_result(push->build, index);
    const struct sb_strings *named = &result->recipe->platforms;
    sb_autofree struct sb_push_part *parts = sb_alloc((result->image_count + 1) * sizeof *parts);
    sb_autoplatforms struct sb_platforms others = {0};
    for (size_t i = 0; i < named->n; i++) {
        sb_autoplatform struct sb_platform one = {0};
        if (sb_platform_parse(named->v[i], &one, NULL) == 0)
            sb_platforms_add(&others, &one);
    }
    for (size_t i = 0; i < result->image_count; i++)
        parts[i] = (struct sb_push_part){&result->images[i].image,
                                         take_pusher(early_of(push, index, i), target)};
    struct sb_push_index what = {.parts = parts,
                                 .count = result->image_count,
                                 .whole = result->image_count >= named->n,
                                 .others = &others};
    return sb_cli_push_index(push->options, push->registry, push->store, &what, target,
                             push->progress, push->facts[index], err);
}

static int push_result(struct sb_build_push *push, size_t index, struct sb_error *err) {
    const struct sb_build_result *result = sb_build_result(push->build, index);
    struct sb_push_targets targets = {0};
    int rc = find_targets(push, result, &targets, err);
    set_options(&targets, result->recipe);
    for (size_t i = 0; i < targets.n && rc == 0; i++)
        rc = result->is_index
                 ? push_index(push, index, &targets.v[i], err)
                 : sb_cli_push_image(push->options, push->registry, push->store,
                                     &result->images[0].image, &targets.v[i],
                                     take_pusher(early_of(push, index, 0), &targets.v[i]),
                                     push->progress, push->facts[index], err);
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
    for (size_t i = 0; i < push->early_count; i++)
        free_early(&push->early[i]);
    for (size_t i = 0; i < push->request->recipe_count; i++)
        json_decref(push->facts[i]);
    free(push->early);
    free(push->facts);
    free(push);
}
