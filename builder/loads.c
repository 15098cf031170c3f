#include "builder/loads.h"

#include <stdlib.h>

#include "base/memory.h"
#include "document/recipe_files.h"

void sb_loads_init(struct sb_loads *loads, const struct sb_build_request *request,
                   const struct sb_settings *settings) {
    *loads =
        (struct sb_loads){.request = request, .settings = settings, .files = sb_recipe_files_new()};
}

void sb_loads_free(struct sb_loads *loads) {
    for (size_t i = 0; i < loads->n; i++) {
        sb_recipe_free(loads->v[i]->recipe);
        free(loads->v[i]);
    }
    for (size_t i = 0; i < loads->platform_count; i++) {
        sb_platform_free(loads->platforms[i]);
        free(loads->platforms[i]);
    }
    free(loads->v);
    free(loads->platforms);
    sb_recipe_files_free(loads->files);
}

const struct sb_platform *sb_loads_platform(struct sb_loads *loads, const char *text) {
    struct sb_platform *one = sb_alloc(sizeof *one);
    if (sb_platform_parse(text, one, NULL) < 0)
        sb_platform_copy(one, sb_platform_own());
    sb_platform_complete(one);
    for (size_t i = 0; i < loads->platform_count; i++)
        if (sb_platform_compare(loads->platforms[i], one) == 0) {
            sb_platform_free(one);
            free(one);
            return loads->platforms[i];
        }
    SB_GROW(loads->platforms, loads->platform_count, loads->platform_cap);
    return loads->platforms[loads->platform_count++] = one;
}

static void override(const struct sb_build_request *request, const struct sb_recipe *recipe) {
    size_t n;
    struct sb_recipe *const *all = sb_recipe_all(recipe, &n);
    for (size_t i = 0; request->compression && i < n; i++)
        all[i]->compression = *request->compression;
}

struct sb_recipe_options sb_loads_options(const struct sb_loads *loads,
                                          const struct sb_platform *platform) {
    return (struct sb_recipe_options){.platform = platform,
                                      .files = loads->files,
                                      .allowed = &loads->request->allow,
                                      .trusted = &loads->settings->trust,
                                      .set = &loads->request->set};
}

const struct sb_loaded *sb_loads_get(struct sb_loads *loads, size_t of,
                                     const struct sb_platform *platform, struct sb_error *err) {
    for (size_t i = 0; i < loads->n; i++)
        if (loads->v[i]->of == of && loads->v[i]->platform == platform)
            return loads->v[i];
    const struct sb_recipe_options options = sb_loads_options(loads, platform);
    struct sb_recipe *recipe;
    if (sb_recipe_load(loads->request->recipes[of], &options, &recipe, err) < 0)
        return NULL;
    override(loads->request, recipe);
    struct sb_loaded *loaded = sb_alloc(sizeof *loaded);
    *loaded = (struct sb_loaded){of, platform, recipe};
    SB_GROW(loads->v, loads->n, loads->cap);
    return loads->v[loads->n++] = loaded;
}
