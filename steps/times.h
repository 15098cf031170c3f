/*
 * steps/times: the times of files that a step's programs see.
 *
 * In an image all that a build made has one time, the epoch: times would differ from build to
 * build. But make, cargo, ninja, rsync and many others go by times, and what is older than its
 * source is what they make anew. So where files changed since something else was made from them,
 * they are shown as newer while a program runs, and get their old time back afterwards:
 *
 *   - a file that stands in the place of another one in a layer below: newer than any file of the
 *     layers below. That depends on these alone, and is the same in every build;
 *   - a file that is another one than when a cache directory was used last, or when an earlier
 *     program of the layer ran: from now, and with this time from then on. Files that did not
 *     change keep theirs.
 *
 * Those of the new layer are touched; those of layers below are copied into a directory that is
 * shown above them (sb_root_show). Where it can't be told what changed, or it is too much, all that
 * is in the cache directories is dated back instead.
 */
#ifndef SB_STEPS_TIMES_H
#define SB_STEPS_TIMES_H

#include "steps/execution.h"

/* What is known of one layer's programs; NULL in a context: times are left alone. */
struct sb_step_times;
struct sb_step_times *sb_step_times_new(void);
void sb_step_times_free(struct sb_step_times *times);

/* Before a program runs. caches: its cache directories that are locked, relative to STORE/sbuild.
 * May mount the root anew: nobody may have a descriptor of it open. */
int sb_step_times_begin(const struct sb_step *step, struct sb_step_run_context *context,
                        const struct sb_strings *caches, struct sb_error *err);
/* Once it has ended. */
void sb_step_times_end(struct sb_step_run_context *context);

#endif
