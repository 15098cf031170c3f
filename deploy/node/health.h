/*
 * deploy/node/health: is a service well? As its description says: an HTTP answer, an open port, a
 * command in its root, its own word (notify), or, without any of these, that it stays up.
 *
 * Whatever the check is, the unit must be active as well: another process may answer at its port.
 */
#ifndef SB_DEPLOY_NODE_HEALTH_H
#define SB_DEPLOY_NODE_HEALTH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "deploy/description.h"
#include "deploy/node/node.h"

struct sb_health {
    const struct sb_node *node;
    const struct sb_description *description;
    const char *unit;  /* "NAME.service", or of a colour */
    uint16_t port;     /* that it listens on, where that is not the description's; or 0 */
    uint32_t wait;     /* seconds; 0: what the description says */
    pid_t not_process; /* the one that is to be replaced, and may still answer; 0: none */
    bool known;        /* it has run well before: it need not stay so for a while first */
};

/* Waits until it is well, and for long enough, after it was told to start: its time begins when its
 * process does, and an old one that does not end in its own time is killed. SB_E_UNHEALTHY says
 * what was wrong at last: when the time is over, or at once when systemd gave it up.
 * SB_E_INTERRUPTED. */
int sb_health_wait(const struct sb_health *health, struct sb_error *err);
/* Asks once. */
int sb_health_probe(const struct sb_health *health, struct sb_error *err);
/* Something listens on the port, where health is asked for. */
bool sb_health_answers(uint16_t port);

#endif
