/*
 * builder/build: from recipes to images in the store (DESIGN.md section 6).
 *
 *     struct sb_build *build;
 *     sb_build_new(store, &settings, &request, &build, &err)    parse recipes, open contexts
 *     sb_build_plan(build, &err)      what would be done, or
 *     sb_build_run(build, &err)       do it
 *     sb_build_result(build, i)       layers, images, tags, in the order of the request
 *     sb_build_free(build)
 *
 * Recipes that share a base recipe build it once. A recipe whose base is ready runs beside others,
 * each in a thread of its own; packing a layer overlaps with running the next one.
 */
#ifndef SB_BUILDER_BUILD_H
#define SB_BUILDER_BUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "builder/request.h"
#include "document/recipe.h"
#include "document/settings.h"
#include "layers/image.h"
#include "layers/store.h"
#include "registry/release.h"

struct sb_build;

/* request and settings must live as long as the build. */
int sb_build_new(struct sb_store *store, const struct sb_settings *settings,
                 const struct sb_build_request *request, struct sb_build **out,
                 struct sb_error *err);
int sb_build_plan(struct sb_build *build, struct sb_error *err);
int sb_build_run(struct sb_build *build, struct sb_error *err);
/* Waits until cache_to has what was built, be it that the build failed: a failure to write there is
 * a warning. */
void sb_build_share(struct sb_build *build);
void sb_build_free(struct sb_build *build);

/* Of the index-th recipe of the request; belongs to the build. */
const struct sb_build_result *sb_build_result(const struct sb_build *build, size_t index);
/* Whether that image of that recipe will have the layer; from any thread, also while it is built.
 */
bool sb_build_has_layer(const struct sb_build *build, size_t index, size_t image,
                        const struct sb_layer_result *layer);

#endif
