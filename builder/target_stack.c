/*
 * What the copies of a recipe see of the layers below it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "builder/base_layers.h"
#include "builder/target.h"
#include "context/base_paths.h"
#include "layers/unpack.h"

struct sb_target_stack {
    struct sb_contents **layers; /* of the image's layers, as far as they were needed */
    size_t layer_count;
    struct sb_base_paths paths;   /* instead of those of a base in a registry */
    struct sb_contents **visible; /* what copies get: borrows from the above */
    struct sb_stack seen;         /* of either */
};

void sb_target_stack_free(struct sb_target_stack *stack) {
    if (!stack)
        return;
    for (size_t i = 0; i < stack->layer_count; i++)
        sb_contents_close(stack->layers[i]);
    free(stack->layers);
    free(stack->visible);
    sb_base_paths_free(&stack->paths);
    free(stack);
}

/* The layers that lie in a registry and are not the recipes' own. */
static size_t remote_count(struct sb_target *target) {
    const struct sb_target *root = sb_target_root(target);
    return root->pinned ? root->base_count : 0;
}

static void make_room(struct sb_target *target) {
    size_t n = target->image.layer_count;
    struct sb_target_stack *stack = target->stack;
    stack->layers = sb_realloc(stack->layers, n + 1, sizeof *stack->layers);
    stack->visible = sb_realloc(stack->visible, n + 1, sizeof *stack->visible);
    for (; stack->layer_count < n; stack->layer_count++)
        stack->layers[stack->layer_count] = NULL;
}

static int open_own(struct sb_target *target, struct sb_error *err) {
    struct sb_target_stack *stack = target->stack;
    for (size_t i = remote_count(target); i < stack->layer_count; i++)
        if (!stack->layers[i] &&
            sb_layer_contents(target->shop->store, &target->image.layers[i].layer,
                              &stack->layers[i], err) < 0)
            return -1;
    return 0;
}

/* All of the base's layers, or else none: opens those that can be had without fetching, or all. */
static int open_remote(struct sb_target *target, bool fetch, struct sb_error *err) {
    struct sb_contents **layers = target->stack->layers;
    struct sb_store *store = target->shop->store;
    size_t n = remote_count(target);
    if (n == 0 || layers[0])
        return 0;
    if (fetch)
        return sb_base_layers_contents(store, &target->image, sb_target_root(target)->pinned, 0, n,
                                       layers, err);
    if (!sb_base_layers_known_contents(store, &target->image, n, layers))
        layers[0] = NULL;
    return 0;
}

static struct sb_stack whole_stack(const struct sb_target_stack *stack) {
    return (struct sb_stack){stack->layers, stack->layer_count};
}

/* The base's paths, and on top of them the recipes' own layers. */
static struct sb_stack described_stack(struct sb_target *target) {
    struct sb_target_stack *stack = target->stack;
    size_t n = 0;
    stack->visible[n++] = stack->paths.contents;
    for (size_t i = remote_count(target); i < stack->layer_count; i++)
        stack->visible[n++] = stack->layers[i];
    return (struct sb_stack){stack->visible, n};
}

/* ---- a base that says nothing of its paths: made by other tools ---- */

/* What is a directory in one distribution and a link in another. */
static bool is_often_a_link(const char *to) {
    static const char *const names[] = {"bin",   "sbin",   "lib",     "lib32",
                                        "lib64", "libx32", "var/run", "var/lock"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (!strncmp(to, names[i], n) && (to[n] == '/' || !to[n]))
            return true;
    }
    return false;
}

/* The base's own tables of contents after all. */
static int open_whole(void *data, bool fetch, struct sb_stack *out, struct sb_error *err) {
    struct sb_target *target = data;
    if (open_remote(target, fetch, err) < 0)
        return -1;
    *out = whole_stack(target->stack);
    return target->stack->layers[0] != NULL;
}

static enum sb_path_known ask_unlisted(void *data, const char *path) {
    struct sb_target *target = data;
    return sb_base_paths_unlisted(&target->stack->paths, path);
}

/* ---- either ---- */

int sb_target_ground(struct sb_target *target, struct sb_copy_ground *out, struct sb_error *err) {
    if (!target->stack)
        target->stack = sb_alloc(sizeof *target->stack);
    struct sb_target_stack *stack = target->stack;
    make_room(target);
    if (open_own(target, err) < 0)
        return -1;
    stack->seen = whole_stack(stack);
    *out = (struct sb_copy_ground){.stack = &stack->seen};
    if (remote_count(target) == 0)
        return 0;
    if (!stack->paths.contents &&
        sb_base_paths_read(sb_target_root(target)->said_paths, &stack->paths, err) < 0)
        return sb_error_context(err, "the base %s", sb_target_root(target)->pinned);
    stack->seen = described_stack(target);
    out->partial = !stack->paths.complete;
    out->unlisted = stack->paths.complete ? ask_unlisted : NULL;
    out->doubts = stack->paths.partial ? is_often_a_link : NULL;
    out->whole = open_whole;
    out->data = target;
    return 0;
}

/* ---- for those who build on this image ---- */

/* Whether what a base holds can be read without fetching anything. */
static bool is_all_here(struct sb_target *target) {
    for (size_t i = 0; i < target->base_count; i++) {
        const struct sb_layer *layer = &target->image.layers[i].layer;
        struct sb_contents *contents;
        if (sb_contents_open(target->shop->store, &layer->diff_id, &contents, NULL) == 0)
            sb_contents_close(contents);
        else if (!sb_blob_has(target->shop->store, &layer->descriptor.digest,
                              layer->descriptor.size))
            return false;
    }
    return true;
}

int sb_target_describe_paths(struct sb_target *target, struct sb_error *err) {
    size_t known = target->base ? target->base->image.layer_count : target->base_count;
    if (!target->base && !target->pinned && !target->said_paths && is_all_here(target))
        known = 0;
    return sb_base_paths_update(target->shop->store, &target->image, known, err);
}
