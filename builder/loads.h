/*
 * builder/loads: the recipes of a request, as they are for each of their platforms. Each is loaded
 * once for each, from files that are read once.
 */
#ifndef SB_BUILDER_LOADS_H
#define SB_BUILDER_LOADS_H

#include <stddef.h>

#include "base/error.h"
#include "builder/request.h"
#include "document/recipe.h"
#include "document/settings.h"
#include "layers/platform.h"

/* A recipe of the request, and what it needs, as they are for a platform. */
struct sb_loaded {
    size_t of; /* index in the request */
    const struct sb_platform *platform;
    struct sb_recipe *recipe;
};

struct sb_loads {
    const struct sb_build_request *request;
    const struct sb_settings *settings;
    struct sb_recipe_files *files;
    struct sb_loaded **v;
    size_t n, cap;
    struct sb_platform **platforms; /* each once, so that they can be compared by their address */
    size_t platform_count, platform_cap;
};

/* request and settings must live as long. */
void sb_loads_init(struct sb_loads *loads, const struct sb_build_request *request,
                   const struct sb_settings *settings);
void sb_loads_free(struct sb_loads *loads); /* what was zeroed, too */

/* The one of that name, which the rule for platforms has seen; "build" is this machine's. */
const struct sb_platform *sb_loads_platform(struct sb_loads *loads, const char *text);
/* How recipes are loaded for it; NULL: for this machine. */
struct sb_recipe_options sb_loads_options(const struct sb_loads *loads,
                                          const struct sb_platform *platform);
/* NULL and err when that recipe can't be loaded for the platform. */
const struct sb_loaded *sb_loads_get(struct sb_loads *loads, size_t of,
                                     const struct sb_platform *platform, struct sb_error *err);

#endif
