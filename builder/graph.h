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
#include "builder/loads.h"
#include "builder/target.h"
#include "document/recipe.h"

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
    struct sb_loads loads;
    struct sb_build_wanted
        *wanted; /* in the order of the request, the images of a recipe together */
    size_t wanted_count, wanted_cap;
    struct sb_build_result *results; /* of each recipe of the request */
    int checked;                     /* 1: that inputs are there; 2: and may be read */
    pthread_mutex_t lock;            /* of all edges and states of targets, and of: */
    pthread_cond_t changed;
    int running; /* targets at work */
};

/* The target of a recipe (of those that were loaded together), for a platform, and before it in the
 * build's list those that it needs; one for each file, stage or image and platform, however often
 * it is named. */
int sb_graph_add(struct sb_build *build, const struct sb_loaded *loaded,
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
