/*
 * builder/build_private: how the parts of builder/build share the work.
 */
#ifndef SB_BUILDER_BUILD_PRIVATE_H
#define SB_BUILDER_BUILD_PRIVATE_H

#include "builder/build.h"
#include "builder/graph.h"

/* ---- build_load.c ---- */

/* Fills the graph from the request. */
int sb_build_load(struct sb_build *build, struct sb_error *err);

/* ---- build_result.c ---- */

/* What there is to tell of the images, be it that the build failed. */
void sb_build_collect(struct sb_build *build);
/* The names that recipes and command line give to what was made; versions: of each recipe. */
struct sb_version;
int sb_build_name(struct sb_build *build, const struct sb_version *versions, struct sb_error *err);
void sb_build_free_results(struct sb_build *build);

/* ---- build_platforms.c ---- */

/* That this machine can run what has to be run for other platforms: of what was planned, or before
 * the first step, or of tests, once they have been found. */
int sb_build_check_platforms(struct sb_build *build, bool planned, struct sb_error *err);

/* ---- build_check.c ---- */

/* That all secrets of all steps were given; if not, all else that is wrong is said with it. */
int sb_build_check_given(struct sb_build *build, struct sb_error *err);
/* That what the steps of all layers read that come after those that are decided is there; with
 * deep, also that it may be read. Once a build, and before others work on its targets: later calls
 * do nothing. All that is wrong is said at once. */
int sb_build_check_inputs(struct sb_build *build, bool deep, struct sb_error *err);

#endif
