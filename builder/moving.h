/*
 * builder/moving: names in steps that may stand for something else tomorrow, such as a branch of a
 * git repository: each stands for what the recipe's lock file says, or else for what its server
 * says now. It is asked once in a build, before anything is built that it is for.
 */
#ifndef SB_BUILDER_MOVING_H
#define SB_BUILDER_MOVING_H

#include "base/error.h"
#include "builder/workshop.h"
#include "document/recipe.h"

/* Settles the step's name, if it has one and it isn't yet: for all targets alike, be they for other
 * platforms. */
int sb_moving_settle(struct sb_workshop *shop, const struct sb_recipe *recipe,
                     const struct sb_step *step, struct sb_error *err);

#endif
