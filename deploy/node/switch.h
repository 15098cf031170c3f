/*
 * deploy/node/switch: from one generation to another, and back if that is no good.
 *
 *     1  operation.json          what is about to be done
 *     2  mount                   the new root, beside the old one
 *     3  NAME.service            one rename: the switch
 *     4  daemon-reload, restart
 *     5  wait for health
 *     6  the record, the old root is unmounted, operation.json goes
 *
 * When 5 says no: the reason and an excerpt of the journal are recorded, the old unit file comes
 * back, the service is restarted, the new root unmounted. A process killed anywhere leaves
 * operation.json; the watch over it (deploy/node/watch.h) finishes or undoes it, or whoever works
 * on the service next.
 */
#ifndef SB_DEPLOY_NODE_SWITCH_H
#define SB_DEPLOY_NODE_SWITCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"

struct sb_switch {
    enum sb_operation_kind kind;
    uint64_t from, to; /* from 0: there is none to go back to */
    uint32_t wait;     /* seconds for health; 0: what the description says */
    bool watched;      /* by sb_watch_start, already */
};
/* The generation `to` must be there, whole, with its units and pinned. SB_E_UNHEALTHY: it is as it
 * was before, and the record of `to` says why. */
int sb_switch_run(const struct sb_node_service *service, const struct sb_switch *plan,
                  struct sb_error *err);

/* Finishes or undoes what a killed process was doing. *out_kind is what it was; of a service whose
 * uninstallation was finished nothing is there any more (sb_node_service_anew). */
int sb_switch_recover(struct sb_node_service *service, enum sb_operation_kind *out_kind,
                      struct sb_error *err);

/* Stops the service and takes everything of it from this node, its directory too, but for its data
 * directories. A killed one is finished by sb_switch_recover. */
int sb_switch_uninstall(struct sb_node_service *service, struct sb_error *err);

#endif
