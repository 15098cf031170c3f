/*
 * deploy/node/owners: whose a service's data are, when it runs as another user than before.
 *
 * So it is once, when a generation follows one that an sbuild before deploy/host/ids.h installed,
 * and when that is gone back to; or when the image of a service with its image's numbers changes
 * them. While anything runs as the one, data can't be the other's: the service is stopped
 * meanwhile.
 *
 * systemd would do the same with its own directories (StateDirectory= and its like), but for root's
 * services, and within the time that a service has to become healthy.
 */
#ifndef SB_DEPLOY_NODE_OWNERS_H
#define SB_DEPLOY_NODE_OWNERS_H

#include <stdbool.h>

#include "base/error.h"
#include "deploy/node/node.h"

/* The data are those of another user than the generation's units name. */
bool sb_owners_differ(const struct sb_node_service *service, uint64_t number);
/* Makes them its. What is killed on the way is gone on with: a directory changes hands after all
 * that is in it. Nothing of the service may run. */
int sb_owners_change(const struct sb_node_service *service, uint64_t number, struct sb_error *err);

/* All below a directory and itself, but devices; no symlink is followed. What is mounted there, and
 * a file that has names elsewhere, is an error, before anything is changed. For root (0) only
 * itself: root reads and writes what is another's. */
int sb_owners_give(int dir, uint32_t uid, uint32_t gid, struct sb_error *err);

/* Refuses to make data one user's which have been several's: what ran as root had users of its
 * image besides, and could not go back to them. And what couldn't be given to it. */
int sb_owners_check(const struct sb_node_service *service, const struct sb_description *description,
                    uint32_t id, struct sb_error *err);

/* The numbers of a generation's units are those that the service would get now. */
bool sb_owners_fit(const struct sb_node_service *service, uint64_t number,
                   const struct sb_description *description);

#endif
