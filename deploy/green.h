/*
 * deploy/green: `strategy: blue-green`, for services with a spare port and an upstream file.
 *
 * The new generation is started beside the old one, as NAME-green.service on the spare port. Once
 * it is healthy, the upstream file points there and nobody notices that NAME.service is now
 * restarted as the new generation, on its own port (deploy/switch.h). When that is healthy too, the
 * upstream file points back, and green is stopped after a while for what it still answers. So
 * between two installations a service always has its own name and port, and one process.
 *
 *     /etc/sbuild/upstreams/UPSTREAM           symlink, replaced by one rename, to one of
 *     /etc/sbuild/upstreams/.UPSTREAM.PORT     "server 127.0.0.1:PORT;"
 *     /etc/sbuild/upstreams/reload             run after each change, if it is there: tells the
 *                                              proxy ("nginx -s reload")
 */
#ifndef SB_DEPLOY_GREEN_H
#define SB_DEPLOY_GREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deploy/node.h"

/* "NAME-green"; the caller's. */
char *sb_green_name(const char *service);

bool sb_green_wanted(const struct sb_node_service *service, uint64_t from, uint64_t to);
/* Starts the generation on the spare port, waits for its health, and points the upstream there. On
 * failure all is as it was. */
int sb_green_begin(const struct sb_node_service *service, uint64_t to, uint32_t wait,
                   struct sb_error *err);
/* Points the upstream to the service's own port, and stops green, if it runs. */
int sb_green_end(const struct sb_node_service *service, uint64_t to, struct sb_error *err);
/* Makes the upstream file of a service that has one and runs alone. */
int sb_green_settle(const struct sb_node_service *service, uint64_t number, struct sb_error *err);

#endif
