/*
 * deploy/node/upstream: the file that tells a proxy of this node which port of a service serves.
 *
 *     /etc/sbuild/upstreams/UPSTREAM           symlink, replaced by one rename, to one of
 *     /etc/sbuild/upstreams/.UPSTREAM.PORT     "server 127.0.0.1:PORT;"
 *     /etc/sbuild/upstreams/.UPSTREAM.untold   there until the proxy was told of a change
 *     /etc/sbuild/upstreams/reload             run after each change, if it is there: tells the
 *                                              proxy ("nginx -s reload")
 */
#ifndef SB_DEPLOY_NODE_UPSTREAM_H
#define SB_DEPLOY_NODE_UPSTREAM_H

#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"

/* Nothing to do when it points there: nobody is told, unless who changed it was killed before. */
int sb_upstream_point(const struct sb_node *node, const char *upstream, uint16_t port,
                      struct sb_error *err);
/* Takes all files of that name away. */
int sb_upstream_remove(const char *upstream, struct sb_error *err);

#endif
