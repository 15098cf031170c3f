/*
 * steps/bootstrap: a Debian or Ubuntu root file system from packages, through mmdebstrap.
 */
#ifndef SB_STEPS_BOOTSTRAP_H
#define SB_STEPS_BOOTSTRAP_H

#include "base/error.h"
#include "document/recipe.h"
#include "steps/execution.h"

/* Bootstraps into the mounted, empty root of the context (root and rootless give the same tree):
 * the "apt" variant, the given packages, no /dev nodes, and a sources.list of the distribution's
 * own mirror whatever mirror was used to fetch. Everything that differs between two runs is
 * removed. */
int sb_bootstrap_run(const struct sb_bootstrap *bootstrap, struct sb_step_run_context *context,
                     struct sb_error *err);

/* Whether this machine has what that needs: SB_E_NOT_FOUND. */
int sb_bootstrap_check(const struct sb_bootstrap *bootstrap, struct sb_error *err);

#endif
