/*
 * deploy/node/hostlayer_private: the layer of what a host brings, while it is made.
 */
#ifndef SB_DEPLOY_NODE_HOSTLAYER_PRIVATE_H
#define SB_DEPLOY_NODE_HOSTLAYER_PRIVATE_H

#include "base/buffer.h"
#include "base/error.h"
#include "deploy/host/driver.h"
#include "deploy/node/hostlayer.h"

#define SB_HOSTLAYER_POOL      "driver"          /* beneath STORE/sbuild: copies of its files */
#define SB_HOSTLAYER_TEMPORARY SB_TMP_PREFIX "h" /* beneath N/: the layer that is made */

struct sb_hostlayer_work {
    const struct sb_hostlayer *layer;
    const struct sb_node *node;
    struct sb_driver driver;
    struct sb_strings points; /* of drop-ins: with a slash at the end those of directories */
    int dir, top, view;       /* N/, the layer that is made, the root without it */
    char *libraries;          /* the directory of libraries in the root */
};

/* That none of the service's mounts would have systemd make something in a directory of the host.
 */
int sb_hostlayer_check_places(const struct sb_hostlayer_work *work, struct sb_error *err);

/* Fills top, which is empty, under the lock. */
int sb_hostlayer_fill(struct sb_hostlayer_work *work, struct sb_error *err);

#endif
