/*
 * steps/kinds: the rows of the table in steps/kinds.c. A new kind adds its line here and
 * there.
 */
#ifndef SB_STEPS_KINDS_H
#define SB_STEPS_KINDS_H

#include "document/step.h"

extern const struct sb_step_kind sb_step_kind_apt;
extern const struct sb_step_kind sb_step_kind_pip;
extern const struct sb_step_kind sb_step_kind_run;
extern const struct sb_step_kind sb_step_kind_copy;
extern const struct sb_step_kind sb_step_kind_download;
extern const struct sb_step_kind sb_step_kind_prune;

#endif
