/*
 * deploy/node/requirements: which units of this node a service may have started.
 *
 * To require a unit is to start it, whenever the service starts. So a bundle may require only what
 * is there without it, where to require changes nothing: units that run, and that this node starts
 * by itself (enabled, or wanted by another unit that is not a bundle's); the other services of
 * sbuild, which the operator installed; and what the operator lists in /etc/sbuild/requires/NAME, a
 * unit on each line. Under which name a unit is required doesn't matter: systemd says what it is.
 */
#ifndef SB_DEPLOY_NODE_REQUIREMENTS_H
#define SB_DEPLOY_NODE_REQUIREMENTS_H

#include "base/error.h"
#include "deploy/node/node.h"

#define SB_REQUIREMENTS_ALLOWED "/etc/sbuild/requires"

/* Also that nothing which is to come before the service is to come after it, or after the target
 * that it is a part of, be it by others: systemd would leave out one of them at boot, and might
 * choose another than the service. Touches nothing. */
int sb_requirements_check(const struct sb_node_service *service,
                          const struct sb_description *description, struct sb_error *err);

#endif
