/*
 * deploy/node/recover: what a killed process left under way is finished or undone.
 */
#ifndef SB_DEPLOY_NODE_RECOVER_H
#define SB_DEPLOY_NODE_RECOVER_H

#include "base/error.h"
#include "deploy/node/node.h"

/* Puts one service in order. Who works on it is waited for, without a word. */
int sb_recover(const struct sb_node *node, const char *name, struct sb_error *err);
/* Every service, several at once; the first error is reported, the others are seen to all the same.
 */
int sb_recover_all(const struct sb_node *node, struct sb_error *err);

#endif
