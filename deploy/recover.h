/*
 * deploy/recover: what a killed process left under way is finished or undone without a further
 * command: at once where the machine still runs, else at its next boot.
 *
 *     /etc/systemd/system/sbuild-recover@.service    sbuild status NAME --recover
 *     /etc/systemd/system/sbuild-recover.service     sbuild status --recover, at boot
 *
 * An instance of the first is started by each operation, before that is on record. It watches:
 * while the operation's process holds the service's lock it waits. When the lock is free and there
 * is an operation.json, that process died, and it takes the operation over; else it ends. systemd
 * starts it again should it be killed itself.
 */
#ifndef SB_DEPLOY_RECOVER_H
#define SB_DEPLOY_RECOVER_H

#include "base/buffer.h"
#include "base/error.h"
#include "deploy/node.h"

/* Puts one service in order. Who works on it is waited for, without a word. */
int sb_recover(const struct sb_node *node, const char *name, struct sb_error *err);
/* Every service, several at once; the first error is reported, the others are seen to all the same.
 */
int sb_recover_all(const struct sb_node *node, struct sb_error *err);

/* Writes both units, where they are not there yet. */
int sb_recover_units(const struct sb_node *node, struct sb_error *err);
/* Takes them away again, once there are no services. */
int sb_recover_no_units(const struct sb_node *node, struct sb_error *err);
/* Starts the watch over a service whose lock the caller has: from then on, what is on record when
 * the lock comes free is put in order. Without it the operation goes on all the same: then the next
 * command, or boot, is what does that. */
void sb_recover_watch(const struct sb_node_service *service);
/* Puts the operation on record, watched: whatever kills the caller afterwards. */
int sb_recover_begin(const struct sb_node_service *service, const struct sb_operation *operation,
                     struct sb_error *err);
/* Ends it, unless an operation is under way, before it finds that out by itself: while it lives,
 * the collector spares what it might use. */
void sb_recover_unwatch(const struct sb_node_service *service);

#endif
