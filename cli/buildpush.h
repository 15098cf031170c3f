/*
 * cli/buildpush: `sbuild build --push`. While layers are still being built and packed, those that
 * are done are sent already, and large ones as they are packed; the rest and the manifest follow at
 * the end.
 */
#ifndef SB_CLI_BUILDPUSH_H
#define SB_CLI_BUILDPUSH_H

#include "builder/build.h"
#include "cli/progress.h"
#include "cli/pushing.h"

struct sb_build_push;

/* --compression holds for what is built as well. */
void sb_build_push_compression(const struct sb_cli_push *options, struct sb_build_request *request);
/* What --push needs to know is there, or SB_E_USAGE before anything is built. All must outlive it.
 */
int sb_build_push_new(const struct sb_cli_push *options, struct sb_registry *registry,
                      struct sb_store *store, const struct sb_build *build,
                      const struct sb_build_request *request, struct sb_progress *progress,
                      struct sb_build_push **out, struct sb_error *err);
/* For sb_build_request.notify. */
/* For sb_build_request.before_steps: whether all may be pushed that is being built. */
int sb_build_push_check(struct sb_build_push *push, struct sb_error *err);
void sb_build_push_notify(struct sb_build_push *push, const struct sb_event *event);
/* Once the build is done: pushes all its images. The facts, an array for each image, belong to
 * push. */
int sb_build_push_finish(struct sb_build_push *push, struct sb_error *err);
const json_t *sb_build_push_facts(const struct sb_build_push *push, size_t index);
void sb_build_push_free(struct sb_build_push *push); /* NULL is allowed */

#endif
