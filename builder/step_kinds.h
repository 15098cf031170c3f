/*
 * builder/step_kinds: the rows of the table in builder/steps.c. A new kind adds its line here and
 * there.
 */
#ifndef SB_BUILDER_STEP_KINDS_H
#define SB_BUILDER_STEP_KINDS_H

#include "builder/step.h"

extern const struct sb_step_kind sb_step_kind_apt;
extern const struct sb_step_kind sb_step_kind_pip;
extern const struct sb_step_kind sb_step_kind_run;
extern const struct sb_step_kind sb_step_kind_copy;
extern const struct sb_step_kind sb_step_kind_download;
extern const struct sb_step_kind sb_step_kind_prune;

#endif
