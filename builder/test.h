/*
 * builder/test: the tests of recipes, in their finished images, before anything gets a name.
 *
 * What passed is noted in STORE/sbuild/tests/KEY, by all that a test depends on: the content of the
 * image's layers, what of its config programs see, and the test itself (docs/formats.md). Tests of
 * a recipe that others stand on are run when that one is built by itself.
 */
#ifndef SB_BUILDER_TEST_H
#define SB_BUILDER_TEST_H

#include "builder/graph.h"

/* The results' tests: which passed before, which are to run. Once all targets have been decided, or
 * planned. out_pending: one is to run. */
int sb_tests_find(struct sb_build *build, bool *out_pending, struct sb_error *err);
/* Runs those. Namespaces have been entered. A failing one is SB_E_STEP, and its root is kept
 * (builder/failed.h). */
int sb_tests_run(struct sb_build *build, struct sb_error *err);
void sb_tests_free_results(struct sb_build_image *result);

#endif
