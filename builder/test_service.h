/*
 * builder/test_service: a recipe's service, started in its image as a test: what its health check
 * says, and its end.
 *
 * It has a network of its own, in which nothing but it listens; its health is asked there.
 */
#ifndef SB_BUILDER_TEST_SERVICE_H
#define SB_BUILDER_TEST_SERVICE_H

#include "builder/target.h"

/* What such a test depends on beside the image. A new reference, also after an error. */
int sb_test_service_json(const struct sb_layer_site *site, json_t **out, struct sb_error *err);
/* SB_E_STEP when it does not become healthy in its time, or, of a job, does not succeed. */
int sb_test_service_run(struct sb_target *target, struct sb_step_run_context *context,
                        struct sb_error *err);

#endif
