/*
 * steps/program: the one way in which steps run programs.
 */
#ifndef SB_STEPS_PROGRAM_H
#define SB_STEPS_PROGRAM_H

#include "base/error.h"
#include "steps/execution.h"

/* Runs a program in the step's root: the one way in which steps run programs. Its environment is
 * PATH, HOME, LANG=C.UTF-8, TZ=UTC and SOURCE_DATE_EPOCH, then the image's (context->env), then,
 * for run steps, the arguments that it sees, then env, then the step's own (context->own_env);
 * later ones win. Nothing else of this
 * machine's environment is there, but for http_proxy and its like when there is a network. The
 * step's secrets and cache directories are in place. Output goes to context->log. A non-zero exit
 * is SB_E_STEP with the command and the status; the builder adds the log's tail. */
int sb_step_program(const struct sb_step *step, struct sb_step_run_context *context,
                    const struct sb_program *program, struct sb_error *err);
/* Where programs of the step are looked up. */
const char *sb_step_path(const struct sb_step_run_context *context);

#endif
