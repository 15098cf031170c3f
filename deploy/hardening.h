/*
 * deploy/hardening: what keeps a service from all that it doesn't need, as lines of [Service].
 * Private to deploy/units.
 */
#ifndef SB_DEPLOY_HARDENING_H
#define SB_DEPLOY_HARDENING_H

#include "base/buffer.h"
#include "deploy/units.h"

/* root: the service runs as root, as far as is known. */
void sb_hardening_write(const struct sb_description *description,
                        const struct sb_placement *placement, bool root, struct sb_buf *out);

#endif
