/*
 * What copy steps name in the context.
 */
#include <stdlib.h>

#include "base/memory.h"
#include "context/copy.h"

void sb_copy_sources_free(struct sb_copy_sources *sources) {
    for (size_t i = 0; i < sources->n; i++)
        free(sources->v[i].inputs);
    free(sources->v);
    sb_arena_free(&sources->arena);
    *sources = (struct sb_copy_sources){0};
}

static struct sb_copy_source *add_source(struct sb_copy_sources *out, const struct sb_step *step) {
    SB_GROW(out->v, out->n, out->cap);
    out->v[out->n] = (struct sb_copy_source){.step = step};
    return &out->v[out->n++];
}

struct sb_context *sb_copy_context(const struct sb_copy_from *from, const struct sb_step *step,
                                   struct sb_error *err) {
    if (sb_origin_is_context(&sb_step_placing(step)->origin))
        return from->context;
    const struct sb_copy_tree *tree = from->tree(from->data, step, err);
    return tree ? tree->context : NULL;
}

static int scan_copy(const struct sb_step *step, const struct sb_copy_from *from,
                     struct sb_copy_sources *out, struct sb_error *err) {
    const struct sb_placing *copy = sb_step_placing(step);
    const struct sb_copy_tree own = {from->context, copy->from}, *tree = &own;
    if (!sb_origin_is_context(&copy->origin) && !(tree = from->tree(from->data, step, err)))
        return -1;
    sb_autofree char *place =
        step->place.file ? sb_format("%s:%d", step->place.file, step->place.line) : NULL;
    const struct sb_selection selection = {&tree->from, &copy->include, &copy->exclude, place};
    struct sb_input_lists lists = {0};
    int failed = sb_context_select(tree->context, &selection, &lists, err);
    for (size_t i = 0; i < lists.n && !failed; i++) {
        struct sb_input_list *inputs = &lists.v[i];
        struct sb_copy_source *source = add_source(out, step);
        source->inputs = sb_steal(inputs->v);
        source->input_count = inputs->n;
        source->into = lists.n > 1;
        sb_arena_take(&out->arena, &inputs->arena);
        inputs->n = 0;
    }
    sb_input_lists_free(&lists);
    return failed;
}

int sb_copy_scan(const struct sb_step *steps, size_t count, const struct sb_copy_from *from,
                 struct sb_copy_sources *out, struct sb_error *err) {
    for (size_t i = 0; i < count; i++) {
        if (sb_step_downloads(&steps[i]))
            add_source(out, &steps[i]);
        else if (scan_copy(&steps[i], from, out, err) < 0)
            return sb_step_at(&steps[i], err);
    }
    return 0;
}

int sb_copy_resolve(const struct sb_step *steps, size_t count, const struct sb_copy_from *from,
                    const struct sb_copy_ground *ground, struct sb_copy_list *out,
                    struct sb_error *err) {
    struct sb_copy_sources sources = {0};
    int failed = sb_copy_scan(steps, count, from, &sources, err);
    if (!failed)
        failed = sb_copy_place(&sources, ground, out, err);
    sb_arena_take(&out->arena, &sources.arena);
    sb_copy_sources_free(&sources);
    return failed;
}
