/*
 * deploy/drain: letting a process answer what it was asked, before it is stopped.
 *
 * Connections are counted in /proc/net/tcp and tcp6: services share this machine's network. One is
 * open as long as its client may still wait for something: also when the client has closed its own
 * direction. Connections that a proxy keeps open without asking anything count as well; nobody can
 * tell them from others.
 */
#ifndef SB_DEPLOY_DRAIN_H
#define SB_DEPLOY_DRAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "deploy/node.h"

struct sb_port_use {
    unsigned connections; /* that were accepted on the port, or wait for that */
    bool listens;
};
/* Adds what a table in the form of /proc/net/tcp says of a port. */
void sb_port_use_read(FILE *table, uint16_t port, struct sb_port_use *use);
struct sb_port_use sb_port_use(uint16_t port);

/* Waits until nobody is connected to the port any more: for a second, as whoever read the old
 * upstream file may be about to connect. Says what it waits for. After so many seconds it is over
 * all the same; 0: at once. SB_E_INTERRUPTED. */
int sb_drain(const struct sb_node_service *service, uint16_t port, uint32_t limit,
             struct sb_error *err);

#endif
