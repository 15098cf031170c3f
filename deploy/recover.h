/*
 * deploy/recover: after a loss of power, what was under way is finished or undone at boot already,
 * not only by the next command.
 *
 *     /etc/systemd/system/sbuild-recover.service     sbuild status --recover, when there is need
 */
#ifndef SB_DEPLOY_RECOVER_H
#define SB_DEPLOY_RECOVER_H

#include "base/error.h"
#include "deploy/node.h"

/* Puts every service in order; the first error is reported, the others are seen to all the same. */
int sb_recover_all(const struct sb_node *node, struct sb_error *err);

/* Writes the unit, if it is not there. systemd hears of it with the next reload. */
int sb_recover_at_boot(const struct sb_node *node, struct sb_error *err);
/* Takes the unit away again, once there are no services. */
int sb_recover_not_at_boot(const struct sb_node *node, struct sb_error *err);

/* The absolute path of this very program; the caller's. */
char *sb_own_program(struct sb_error *err);
/* Appends a blank and a word of a command in a unit file: quoted, and nothing in it expanded. */
void sb_unit_add_word(struct sb_buf *line, const char *word);

#endif
