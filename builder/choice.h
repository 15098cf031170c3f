/*
 * builder/choice: the layers that --no-cache=LAYER and --until name.
 */
#ifndef SB_BUILDER_CHOICE_H
#define SB_BUILDER_CHOICE_H

#include "base/error.h"

struct sb_build;

/* Looks the names of the request up among the layers of its recipes and of those below them: LAYER,
 * or RECIPE/LAYER where several have one of that name. Fills what targets know of it; with --until
 * the build ends with the recipe that has that layer. Names of no layer are SB_E_USAGE. */
int sb_build_choose(struct sb_build *build, struct sb_error *err);

#endif
