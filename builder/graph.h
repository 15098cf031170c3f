/*
 * builder/graph: the targets of a build, what each needs, and going through them.
 *
 * A node is a target: one image to be made, of a recipe, a stage or an image that is copied from.
 * An edge leads to what it stands on, and to what its steps take files from. A target is ready when
 * none of its edges is open any more; as many are at work as the build may have threads.
 */
#ifndef SB_BUILDER_GRAPH_H
#define SB_BUILDER_GRAPH_H

#include "base/error.h"
#include "builder/target.h"
#include "document/recipe.h"

/* The target of a recipe, and before it in the build's list those that it needs; one for each file,
 * stage or image, however often it is named. */
int sb_graph_add(struct sb_build *build, const struct sb_recipe *recipe, struct sb_target **out,
                 struct sb_error *err);
/* Marks as kept those that the given one needs, and itself; all others not. */
void sb_graph_mark(struct sb_build *build, const struct sb_target *target);
/* Drops the targets that the given one doesn't need. */
void sb_graph_keep(struct sb_build *build, const struct sb_target *target);

/* One after the other, as far as it goes with that effort. 1: something is left, -1: one failed. */
int sb_graph_advance(struct sb_build *build, enum sb_target_effort effort, struct sb_error *err);
/* All that is left, each target in a thread of its own. */
int sb_graph_finish(struct sb_build *build, struct sb_error *err);

#endif
