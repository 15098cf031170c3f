/*
 * deploy/node/hostdirs: directories of this host that a service may read (`directories: {host:
 * …}`).
 *
 * A bundle asks; whoever operates the host allows: a directory, with all below it, on each line of
 *
 *     /etc/sbuild/host-directories/NAME     for that service
 *     /etc/sbuild/host-directories/ALL      for every service (no service's name has capitals)
 *
 * Whatever is allowed, none is shown that has in it, or lies in, what belongs to the system, to
 * sbuild, or to another service.
 */
#ifndef SB_DEPLOY_NODE_HOSTDIRS_H
#define SB_DEPLOY_NODE_HOSTDIRS_H

#include "base/error.h"
#include "deploy/node/node.h"

#define SB_HOSTDIRS_ALLOWED "/etc/sbuild/host-directories"

/* Refuses what is not allowed, is not there, or is no directory; touches nothing. */
int sb_hostdirs_check(const struct sb_node_service *service,
                      const struct sb_description *description, struct sb_error *err);

#endif
