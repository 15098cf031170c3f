/*
 * deploy/host/rootview: the root of a generation before systemd mounts it, as this process alone
 * sees it.
 */
#ifndef SB_DEPLOY_HOST_ROOTVIEW_H
#define SB_DEPLOY_HOST_ROOTVIEW_H

#include <stddef.h>

#include "base/error.h"

/* An overlay of these directories (topmost first, two at least), in no mount namespace: it ends
 * with the descriptor that is returned (O_PATH). at is a directory that it may be mounted on, out
 * of everybody's sight. -1 on failure. */
int sb_rootview_open(const char *const *lower, size_t count, const char *at, struct sb_error *err);

#endif
