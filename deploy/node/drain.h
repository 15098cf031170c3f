/*
 * deploy/node/drain: letting a process answer what it was asked, before it is stopped.
 *
 * A connection counts as long as its client may still wait for something: also when the client has
 * closed its own direction. Those that a proxy keeps open without asking anything count as well;
 * nobody can tell them from others.
 */
#ifndef SB_DEPLOY_NODE_DRAIN_H
#define SB_DEPLOY_NODE_DRAIN_H

#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"

/* Waits until nobody is connected to the port any more: for a second, as whoever read the old
 * upstream file may be about to connect. Says what it waits for. After so many seconds it is over
 * all the same; 0: at once. SB_E_INTERRUPTED. */
int sb_drain(const struct sb_node_service *service, uint16_t port, uint32_t limit,
             struct sb_error *err);

#endif
