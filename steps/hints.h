/*
 * steps/hints: what programs of steps say, for what it means here: a step has no network
 * unless it says so, no terminal and nobody who answers, and the store's disk below it.
 */
#ifndef SB_STEPS_HINTS_H
#define SB_STEPS_HINTS_H

#include "document/step.h"
#include "steps/execution.h"

#define SB_STEP_IDS_HINT                                                                           \
    "give your user more subordinate ids, in one range of /etc/subuid and one of /etc/subgid, or " \
    "build as root"

/* Of a program that failed: a hint where err has none, and SB_E_NO_SPACE where the disk was full.
 * Returns -1. */
int sb_step_hint(const struct sb_step *step, const struct sb_step_run_context *context,
                 bool network, int status, struct sb_error *err);

/* Of one that says it succeeded: tells what it could not do all the same. */
void sb_step_warn(const struct sb_step *step, const struct sb_step_run_context *context,
                  bool network);

#endif
