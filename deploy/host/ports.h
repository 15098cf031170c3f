/*
 * deploy/host/ports: the TCP ports of this machine, as /proc/net/tcp and tcp6 have them (proc(5)):
 * services share its network.
 */
#ifndef SB_DEPLOY_HOST_PORTS_H
#define SB_DEPLOY_HOST_PORTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct sb_port_use {
    unsigned connections; /* that were accepted on the port, or wait for that */
    bool listens;
};
/* Adds what a table in the form of /proc/net/tcp says of a port. */
void sb_port_use_read(FILE *table, uint16_t port, struct sb_port_use *use);
struct sb_port_use sb_port_use(uint16_t port);

/* Whether what listens on the port is a process of that unit, or systemd itself, which holds the
 * sockets of socket units. */
bool sb_port_is_of(uint16_t port, const char *unit);

#endif
