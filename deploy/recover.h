/*
 * deploy/recover: what a killed process left under way is finished or undone without a further
 * command: at once where the machine still runs, else at its next boot.
 *
 *     /etc/systemd/system/sbuild-recover@.service    sbuild status NAME --recover
 *     /etc/systemd/system/sbuild-recover.service     sbuild status --recover, at boot
 *
 * An instance of the first is started by each operation, once that is on record. It watches: while
 * the operation's process holds the service's lock it waits, and when operation.json is gone it
 * ends. When the lock is free and operation.json is still there, that process died, and it takes
 * the operation over. systemd starts it again should it be killed itself.
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
/* Starts the watch over a service whose operation.json has just been written. Without one the
 * operation goes on all the same: then the next command, or boot, is what puts it in order. */
void sb_recover_watch(const struct sb_node_service *service);
/* Ends it, unless an operation is under way, before it finds that out by itself. */
void sb_recover_unwatch(const struct sb_node_service *service);

/* The absolute path of this very program; the caller's. */
char *sb_own_program(struct sb_error *err);
/* Appends a blank and a word of a command in a unit file: quoted, and nothing in it expanded. */
void sb_unit_add_word(struct sb_buf *line, const char *word);

#endif
