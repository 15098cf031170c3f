/*
 * deploy/node/schedule: jobs over a release: what runs to its end, and when it is due.
 *
 * A run that goes on is nobody's to end but an operator's. One on a schedule goes on beside the
 * switch, in the root that it began in, and the next is the new generation's. Where the new one is
 * to run at once, in the same unit, the switch waits for it.
 *
 * What a timer missed it makes up for (Persistent=): by a file in which systemd keeps when it was
 * due last. A schedule that is another one, or comes anew, has missed nothing.
 */
#ifndef SB_DEPLOY_NODE_SCHEDULE_H
#define SB_DEPLOY_NODE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"

/* Whether a generation runs to its end; with_schedule: and is started by a timer. */
bool sb_schedule_is_job(const struct sb_node_service *service, uint64_t number, bool with_schedule);

/* Before the switch from one generation to another (0: none): waits for a run that is to end first,
 * as long as it takes. SB_E_INTERRUPTED. */
int sb_schedule_let_end(const struct sb_node_service *service, uint64_t from, uint64_t to,
                        struct sb_error *err);
/* Before the units are replaced: a timer that would have another schedule under its feet stops. */
void sb_schedule_hold(const struct sb_node_service *service, uint64_t from, uint64_t to);
/* Before the timer of a generation is started: when it does not run, it has missed nothing. */
void sb_schedule_renew(const struct sb_node_service *service, uint64_t number);
/* When it is uninstalled. */
void sb_schedule_forget(const struct sb_node_service *service);

#endif
