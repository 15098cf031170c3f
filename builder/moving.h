/*
 * builder/moving: names in steps that may stand for something else tomorrow, such as a branch of a
 * git repository: each stands for what the recipe's lock file says, or else for what its server
 * says now. It is asked once in a build, before anything is built that it is for.
 */
#ifndef SB_BUILDER_MOVING_H
#define SB_BUILDER_MOVING_H

#include "base/error.h"
#include "document/recipe.h"
#include "document/settings.h"
#include "steps/execution.h"

struct sb_moving_site {
    const struct sb_secrets *secrets;
    const struct sb_settings *settings;
    /* Of a name that the lock file should have, and has not. */
    void (*warn)(void *data, const char *message);
    void *data;
};

/* Settles the step's name, if it has one and it isn't yet. */
int sb_moving_settle(const struct sb_moving_site *site, const struct sb_recipe *recipe,
                     const struct sb_step *step, struct sb_error *err);

#endif
