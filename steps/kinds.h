/*
 * steps/kinds: the kinds of steps, a row for each: steps/NAME.c has its sb_step_kind_NAME.
 */
#ifndef SB_STEPS_KINDS_H
#define SB_STEPS_KINDS_H

#include "document/step.h"

/* In the order of the docs. */
#define SB_STEP_KINDS(X) X(apt) X(pip) X(conda) X(run) X(copy) X(download) X(git) X(prune)

#define SB_STEP_KIND_DECLARE(name) extern const struct sb_step_kind sb_step_kind_##name;
SB_STEP_KINDS(SB_STEP_KIND_DECLARE)
#undef SB_STEP_KIND_DECLARE

#endif
