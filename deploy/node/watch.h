/*
 * deploy/node/watch: whoever dies in the midst of an operation has a successor that needs no
 * further command: at once where the machine still runs, else at its next boot.
 *
 *     /etc/systemd/system/sbuild-recover@.service    sbuild status NAME --recover
 *     /etc/systemd/system/sbuild-recover.service     sbuild status --recover, at boot
 *
 * Beside them is written what services with GPUs are started after (deploy/node/hostlayer.h):
 *
 *     /etc/systemd/system/sbuild-driver@.service     sbuild status /run/sbuild/NAME/N --driver
 *
 * An instance of the first is started by each operation, before that is on record. It watches:
 * while the operation's process holds the service's lock it waits. When the lock is free and there
 * is an operation.json, that process died, and it takes the operation over (deploy/node/recover.h);
 * else it ends. systemd starts it again should it be killed itself.
 */
#ifndef SB_DEPLOY_NODE_WATCH_H
#define SB_DEPLOY_NODE_WATCH_H

#include "base/error.h"
#include "deploy/node/node.h"

/* Writes these units, where they are not there yet. */
int sb_watch_units(const struct sb_node *node, struct sb_error *err);
/* Takes them away again, once there are no services. */
int sb_watch_no_units(const struct sb_node *node, struct sb_error *err);
/* Starts the watch over a service whose lock the caller has: from then on, what is on record when
 * the lock comes free is put in order. Without it the operation goes on all the same: then the next
 * command, or boot, is what does that. */
void sb_watch_start(const struct sb_node_service *service);
/* Puts the operation on record, watched: whatever kills the caller afterwards. */
int sb_watch_operation(const struct sb_node_service *service, const struct sb_operation *operation,
                       struct sb_error *err);
/* Ends it, unless an operation is under way, before it finds that out by itself: while it lives,
 * the collector spares what it might use. */
void sb_watch_end(const struct sb_node *node, const char *name);

#endif
