/*
 * deploy/node/dropins: what an operator adds to a service whose process changes its unit.
 *
 * NAME.service.d is the one place for drop-ins. They hold for the unit that NAME.service is an
 * alias of; one that is about to become it has links to them. `systemctl edit NAME` writes to the
 * directory of the colour's unit: what is found there moves.
 */
#ifndef SB_DEPLOY_NODE_DROPINS_H
#define SB_DEPLOY_NODE_DROPINS_H

#include "base/error.h"
#include "deploy/node/node.h"

/* Moves what a colour has of its own to NAME.service.d. */
int sb_dropins_gather(const struct sb_node_service *service, const char *colour,
                      struct sb_error *err);
/* Gives a colour links to all of them; takes the links away. */
int sb_dropins_lend(const struct sb_node_service *service, const char *colour,
                    struct sb_error *err);
int sb_dropins_take_back(const struct sb_node_service *service, const char *colour,
                         struct sb_error *err);

/* Appends what they mount into the service's root (BindPaths=, BindReadOnlyPaths=,
 * TemporaryFileSystem=): directories with a slash at the end. */
void sb_dropins_mounts(const struct sb_node_service *service, struct sb_strings *out);

#endif
