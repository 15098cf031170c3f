/*
 * deploy/units_private: what the files of deploy/units share.
 */
#ifndef SB_DEPLOY_UNITS_PRIVATE_H
#define SB_DEPLOY_UNITS_PRIVATE_H

#include "base/buffer.h"
#include "deploy/units.h"

/* ---- units_hardening.c ---- */

/* What keeps a service from all that it doesn't need, as lines of [Service]. root: it runs as
 * root, as far as is known. */
void sb_hardening_write(const struct sb_description *description,
                        const struct sb_placement *placement, bool root, struct sb_buf *out);

#endif
