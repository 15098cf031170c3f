/*
 * builder/graph: the targets of a build, what each needs, and going through them.
 *
 * A node is a target: one image to be made, of a recipe, a stage or an image that is copied from,
 * for one platform. What it needs is built for the same, unless a stage says platform:. An edge
 * leads to what it stands on, and to what its steps take files from. A target is ready when none of
 * its edges is open any more; as many are at work as the build may have threads.
 */
#ifndef SB_BUILDER_GRAPH_H
#define SB_BUILDER_GRAPH_H

#include "base/error.h"
#include "builder/target.h"
#include "document/recipe.h"

/* A recipe of the request, and what it needs, as they are for a platform. */
struct sb_build_loaded {
    size_t of; /* index in the request */
    const struct sb_platform *platform;
    struct sb_recipe *recipe;
};

/* An image that was asked for. */
struct sb_build_wanted {
    size_t of; /* index of the recipe in the request */
    struct sb_target *target;
    struct sb_build_image *result; /* in the results of that recipe */
    struct sb_image labelled;      /* of one that says its version in a label */
};

struct sb_build {
    struct sb_workshop shop;
    struct sb_target **targets; /* a base before what stands on it */
    size_t target_count, target_cap;
    char *last_path, *last_real; /* of a recipe, and without links: the stages of a file have one */
    struct sb_platform **platforms; /* each once, so that they can be compared by their address */
    size_t platform_count, platform_cap;
    struct sb_recipe_files *files;
    struct sb_build_loaded **loaded;
    size_t loaded_count, loaded_cap;
    struct sb_build_wanted
        *wanted; /* in the order of the request, the images of a recipe together */
    size_t wanted_count, wanted_cap;
    struct sb_build_result *results; /* of each recipe of the request */
    int checked;                     /* 1: that inputs are there; 2: and may be read */
    pthread_mutex_t lock;            /* of all edges and states of targets, and of: */
    pthread_cond_t changed;
    int running; /* targets at work */
};

/* ---- build_load.c: recipes as they are for a platform ---- */

/* NULL and err when that recipe can't be loaded for the platform. */
const struct sb_build_loaded *sb_build_load_for(struct sb_build *build, size_t of,
                                                const struct sb_platform *platform,
                                                struct sb_error *err);
/* The build's own of that name, which the rule for platforms has seen; build is this machine's. */
const struct sb_platform *sb_build_platform(struct sb_build *build, const char *text);
bool sb_platform_is_own(const struct sb_platform *platform);

/* ---- graph.c ---- */

/* The target of a recipe (of those that were loaded together), for a platform, and before it in the
 * build's list those that it needs; one for each file, stage or image and platform, however often
 * it is named. */
int sb_graph_add(struct sb_build *build, const struct sb_build_loaded *loaded,
                 const struct sb_recipe *recipe, const struct sb_platform *platform,
                 struct sb_target **out, struct sb_error *err);
/* Marks as kept those that the given one needs, and itself; all others not. */
void sb_graph_mark(struct sb_build *build, const struct sb_target *target);
/* Drops the targets that none of those that are wanted needs. */
void sb_graph_keep(struct sb_build *build);

/* One after the other, as far as it goes with that effort. 1: something is left, -1: one failed. */
int sb_graph_advance(struct sb_build *build, enum sb_target_effort effort, struct sb_error *err);
/* All that is left, each target in a thread of its own. */
int sb_graph_finish(struct sb_build *build, struct sb_error *err);

#endif
