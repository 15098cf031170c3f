/*
 * steps/away: archives that are away for a while, as apt and pip wait for them: by themselves, a
 * number of times with growing pauses. What number is patience (registry/retry.h)?
 */
#ifndef SB_STEPS_AWAY_H
#define SB_STEPS_AWAY_H

#include "registry/remote.h"

/* Of a registry, or NULL: as its settings, or SBUILD_PATIENCE, have it. */
unsigned sb_away_apt_retries(struct sb_registry *registry);
unsigned sb_away_pip_retries(struct sb_registry *registry);

#endif
