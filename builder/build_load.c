/*
 * What is to be built: the recipes of the request, loaded for each of their platforms, and the
 * graph of what they need.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "builder/build_private.h"
#include "document/arguments.h"

/* ---- platforms ---- */

static int refuse_text(const char *text, const char *guess, struct sb_error *err) {
    sb_fail(err, SB_E_USAGE, "--platform %s: that is no platform", sb_text_shown(text).text);
    if (guess)
        return sb_error_hint(err, "did you mean %s?", guess);
    return sb_error_hint(err, "write it as linux/amd64 or linux/arm64");
}

/* --platform A --platform B, or A,B as other tools have it; each once. */
static int split_option(const struct sb_build_request *request, struct sb_strings *out,
                        struct sb_error *err) {
    for (size_t i = 0; i < request->platforms.n; i++) {
        sb_autofree char *copy = sb_strdup(request->platforms.v[i]);
        char *rest = copy;
        for (char *part; (part = strsep(&rest, ","));) {
            sb_autofree char *guess = NULL;
            if (!sb_argument_can_be(SB_ARGUMENT_PLATFORM, part, &guess))
                return refuse_text(part, guess, err);
            if (!sb_strings_has(out, part))
                sb_strings_add(out, part);
        }
    }
    if (out->n > SB_RECIPE_PLATFORM_LIMIT)
        return sb_fail(err, SB_E_USAGE, "--platform: %zu platforms (at most %d are possible)",
                       out->n, SB_RECIPE_PLATFORM_LIMIT);
    return 0;
}

static int refuse_other(const char *path, const char *text, const struct sb_strings *named,
                        struct sb_error *err) {
    sb_autobuf struct sb_buf list = {0};
    for (size_t i = 0; i < named->n; i++)
        sb_buf_addf(&list, "%s%s", i ? ", " : "", named->v[i]);
    sb_fail(err, SB_E_USAGE, "--platform %s: %s is for %s", text, path, sb_buf_text(&list));
    return sb_error_hint(err, "add it to platforms: of the recipe, or choose one of these");
}

/* For what is run here, or for a host like this one. */
static void choose_one(const struct sb_strings *named, struct sb_strings *out) {
    sb_autofree char *own = sb_platform_text(sb_platform_own());
    sb_strings_add(out, sb_strings_has(named, own) ? own : named->v[0]);
}

/* What a recipe is built for: what was asked for, or all that it names, or this machine. */
static int choose_platforms(struct sb_build *build, const char *path,
                            const struct sb_recipe_options *options, struct sb_build_result *result,
                            struct sb_strings *out, struct sb_error *err) {
    sb_autostrings struct sb_strings named = {0};
    if (sb_recipe_platforms(path, options, &named, err) < 0 ||
        split_option(build->shop.request, out, err) < 0)
        return -1;
    for (size_t i = 0; i < out->n && named.n; i++)
        if (!sb_strings_has(&named, out->v[i]))
            return refuse_other(path, out->v[i], &named, err);
    if (out->n == 0 && build->shop.request->one_platform && named.n)
        choose_one(&named, out);
    if (out->n == 0)
        sb_strings_copy(out, &named);
    result->is_index = (named.n > 0 && !build->shop.request->one_platform) || out->n > 1;
    build->shop.shows_platforms = build->shop.shows_platforms || out->n > 0;
    if (out->n == 0)
        sb_strings_take(out, sb_platform_text(sb_platform_own()));
    return 0;
}

/* ---- recipes ---- */

static int load_for(struct sb_build *build, size_t of, const struct sb_platform *platform,
                    struct sb_build_image *image, struct sb_error *err) {
    const struct sb_loaded *loaded = sb_loads_get(&build->loads, of, platform, err);
    struct sb_target *target;
    if (!loaded || sb_graph_add(build, loaded, loaded->recipe, platform, &target, err) < 0)
        return -1;
    image->recipe = loaded->recipe;
    image->platform = platform;
    SB_GROW(build->wanted, build->wanted_count, build->wanted_cap);
    build->wanted[build->wanted_count++] = (struct sb_build_wanted){of, target, image, {0}};
    return 0;
}

static int load_recipe(struct sb_build *build, size_t of, struct sb_error *err) {
    struct sb_build_result *result = &build->results[of];
    const struct sb_recipe_options options = sb_loads_options(&build->loads, NULL);
    sb_autostrings struct sb_strings platforms = {0};
    if (choose_platforms(build, build->shop.request->recipes[of], &options, result, &platforms,
                         err) < 0)
        return -1;
    result->images = sb_alloc(platforms.n * sizeof *result->images);
    for (size_t i = 0; i < platforms.n; i++) {
        const struct sb_platform *platform = sb_loads_platform(&build->loads, platforms.v[i]);
        if (load_for(build, of, platform, &result->images[result->image_count++], err) < 0)
            return -1;
    }
    result->recipe = result->images[0].recipe;
    return 0;
}

int sb_build_load(struct sb_build *build, struct sb_error *err) {
    const struct sb_build_request *request = build->shop.request;
    build->results = sb_alloc((request->recipe_count + 1) * sizeof *build->results);
    for (size_t i = 0; i < request->recipe_count; i++)
        if (load_recipe(build, i, err) < 0)
            return -1;
    return 0;
}
