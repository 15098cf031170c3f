#include "builder/choice.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "builder/graph.h"

/* Its i-th layer of its own, from the bootstrap on; NULL after the last. */
static const char *layer_name(const struct sb_target *target, size_t i) {
    const struct sb_recipe *recipe = target->recipe;
    bool bootstrap = recipe->from.kind == SB_FROM_BOOTSTRAP;
    if (bootstrap && i == 0)
        return recipe->from.bootstrap.suite;
    i -= bootstrap;
    return i < recipe->layer_count ? recipe->layers[i].name : NULL;
}

/* Whether text, LAYER, STAGE/LAYER, RECIPE/LAYER or RECIPE/STAGE/LAYER, means this one. */
static bool is_meant(const char *text, const struct sb_target *target, const char *layer) {
    const char *slash = strrchr(text, '/');
    if (!slash)
        return !strcmp(text, layer);
    sb_autofree char *of = sb_strndup(text, (size_t)(slash - text));
    return !strcmp(slash + 1, layer) &&
           (!strcmp(of, target->recipe->name) || !strcmp(of, target->recipe->title));
}

/* The layer of that name that a recipe leaves out; NULL: there is none. */
static const struct sb_left_out *find_left_out(const struct sb_build *build, const char *text) {
    for (size_t t = 0; t < build->target_count; t++) {
        const struct sb_recipe *recipe = build->targets[t]->recipe;
        for (size_t i = 0; i < recipe->left_out_count; i++)
            if (!recipe->left_out[i].step &&
                is_meant(text, build->targets[t], recipe->left_out[i].layer.name))
                return &recipe->left_out[i];
    }
    return NULL;
}

static int fail_unknown(const struct sb_build *build, const char *option, const char *text,
                        struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    const struct sb_left_out *left = find_left_out(build, text);
    if (left)
        return sb_fail(err, SB_E_USAGE, "%s%s: that layer is left out: %s", option, text,
                       left->why);
    for (size_t t = 0; t < build->target_count; t++) {
        const char *name;
        for (size_t i = 0; (name = layer_name(build->targets[t], i)); i++) {
            sb_strings_add(&names, name);
            sb_strings_addf(&names, "%s/%s", build->targets[t]->recipe->title, name);
        }
    }
    sb_fail(err, SB_E_USAGE, "%s%s: no layer of these recipes has that name", option, text);
    const char *nearest = names.n ? sb_text_nearest(text, (const char *const *)names.v) : NULL;
    if (nearest)
        return sb_error_hint(err, "did you mean %s?", nearest);
    return sb_error_hint(err, "sbuild plan lists the layers; those of a base that is no recipe are "
                              "not built here");
}

/* For whatever platforms. */
static bool is_same(const struct sb_recipe *a, const struct sb_recipe *b) {
    return a->kind == b->kind && !strcmp(a->path, b->path) && !strcmp(a->name, b->name);
}

/* The recipe, as it is for one of its platforms; NULL when none is meant, or more than one. */
static const struct sb_recipe *find(const struct sb_build *build, const char *option,
                                    const char *text, const char **out_layer,
                                    struct sb_error *err) {
    const struct sb_recipe *found = NULL;
    for (size_t t = 0; t < build->target_count; t++) {
        const struct sb_target *target = build->targets[t];
        const char *name;
        for (size_t i = 0; (name = layer_name(target, i)); i++) {
            if (!is_meant(text, target, name))
                continue;
            if (found && !is_same(found, target->recipe)) {
                sb_fail(err, SB_E_USAGE, "%s%s: the recipes %s and %s both have a layer %s", option,
                        text, found->title, target->recipe->title, name);
                sb_error_hint(err, "say which: %s%s/%s", option, target->recipe->title, name);
                return NULL;
            }
            found = target->recipe;
            *out_layer = name;
        }
    }
    if (!found)
        fail_unknown(build, option, text, err);
    return found;
}

static bool has_layer(const struct sb_target *target, const char *layer) {
    const char *name;
    for (size_t i = 0; (name = layer_name(target, i)); i++)
        if (!strcmp(name, layer))
            return true;
    return false;
}

static int choose_uncached(struct sb_build *build, struct sb_error *err) {
    const struct sb_strings *names = &build->shop.request->no_cache_layers;
    for (size_t i = 0; i < names->n; i++) {
        const char *layer = "";
        const struct sb_recipe *recipe = find(build, "--no-cache=", names->v[i], &layer, err);
        if (!recipe)
            return -1;
        for (size_t t = 0; t < build->target_count; t++)
            if (is_same(build->targets[t]->recipe, recipe))
                sb_strings_add(&build->targets[t]->uncached, layer);
    }
    return 0;
}

/* Of what an image needs, its own recipe included; NULL where its platform has no such layer. */
static struct sb_target *find_needed(struct sb_build *build, const struct sb_target *top,
                                     const struct sb_recipe *recipe, const char *layer) {
    sb_graph_mark(build, top);
    for (size_t t = 0; t < build->target_count; t++)
        if (build->targets[t]->kept && is_same(build->targets[t]->recipe, recipe) &&
            has_layer(build->targets[t], layer))
            return build->targets[t];
    return NULL;
}

/* Recipes that stand on the one with that layer are not built. */
static int choose_end(struct sb_build *build, struct sb_error *err) {
    const char *until = build->shop.request->until, *layer = "";
    size_t n = 0;
    if (!until)
        return 0;
    if (build->shop.request->recipe_count != 1) {
        sb_fail(err, SB_E_USAGE, "--until %s: several recipes are to be built", until);
        return sb_error_hint(err, "build one at a time");
    }
    const struct sb_recipe *recipe = find(build, "--until ", until, &layer, err);
    if (!recipe)
        return -1;
    struct sb_build_result *result = &build->results[0];
    for (size_t i = 0; i < build->wanted_count; i++) {
        struct sb_target *end = find_needed(build, build->wanted[i].target, recipe, layer);
        bool twice = n > 0 && build->wanted[n - 1].target == end; /* of a stage's own platform */
        if (!end || twice)
            continue;
        end->until = layer;
        build->wanted[n].target = end;
        result->images[n].recipe = end->recipe;
        result->images[n++].platform = end->platform;
    }
    build->wanted_count = result->image_count = n;
    result->is_index = result->is_index && (n > 1 || !recipe->platform);
    result->recipe = result->images[0].recipe;
    sb_graph_keep(build);
    return 0;
}

int sb_build_choose(struct sb_build *build, struct sb_error *err) {
    return choose_uncached(build, err) < 0 ? -1 : choose_end(build, err);
}
