/*
 * deploy/node/green: `strategy: blue-green`: the new generation beside the old one, started once.
 *
 * A service's processes live in two units, NAME-blue.service and NAME-green.service, one at a time
 * but for a switch; NAME.service is an alias of the one that serves, as systemd has them:
 *
 *     /etc/systemd/system/NAME-green.service            generation 7, on the spare port
 *     /etc/systemd/system/NAME.service                  -> NAME-green.service
 *     /etc/systemd/system/multi-user.target.wants/NAME.service
 *     /etc/systemd/system/NAME.service.d/               drop-ins, of both (deploy/node/dropins.h)
 *
 * So `systemctl status NAME`, stop, restart, and what other units require mean the process that
 * serves, that one starts at boot, and the current generation (deploy/node/node.h) changes by the
 * rename of one symlink. The journal alone knows no aliases: it files what a process says under the
 * colour's unit. Under NAME.service it has a line of each switch, which says where to look.
 *
 *     1  NAME-COLOUR.service of the other colour, on the port that the old one does not have; its
 *        health is waited for. If it does not come, it goes, and nobody has noticed
 *     2  the upstream file points to the new port, and the proxy is told (deploy/node/upstream.h)
 *     3  NAME.service: one rename: the switch
 *     4  the old one ends its connections (deploy/node/drain.h), stops, and its unit goes
 *
 * Which of two runs on, if the process that does this is killed, is what 3 has said:
 * sb_green_settle makes all else agree with it.
 */
#ifndef SB_DEPLOY_NODE_GREEN_H
#define SB_DEPLOY_NODE_GREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"

/* Whether a generation is made to run in a colour. */
bool sb_green_has(const struct sb_node_service *service, uint64_t number);
/* The unit that a generation runs in, or was to run in beside the current one; the caller's. */
char *sb_green_unit(const struct sb_node_service *service, uint64_t number);

/* Steps 1 to 3. Of the generation that is current already: sees that it runs, and is healthy. On
 * failure the old one runs as before, and is current. But where no colour is current, of a service
 * that is new or was recreated until now, NAME.service becomes the alias first, what it was stops,
 * and on failure the caller has to go back. */
int sb_green_run(const struct sb_node_service *service, uint64_t number, uint32_t wait,
                 struct sb_error *err);
/* Step 4, and the upstream files that generations a and b have (0: none) point to what is current:
 * between two operations there is one process. */
int sb_green_settle(const struct sb_node_service *service, uint64_t a, uint64_t b, bool patient,
                    struct sb_error *err);
/* Before settling, where an operation was broken off: of two units one goes then, so the current
 * one is started if it does not run. */
int sb_green_revive(const struct sb_node_service *service, struct sb_error *err);
/* Stops and removes the units of both colours but that one (NULL: both). */
int sb_green_stop(const struct sb_node_service *service, const char *but, bool patient,
                  struct sb_error *err);
/* The same, and all that belongs to them: of a service that goes. */
int sb_green_remove(const struct sb_node_service *service, struct sb_error *err);

#endif
