/*
 * deploy/node/hostlayer: what this host brings into a service's root: the uppermost layer of it.
 *
 *     N/h -> h-ID           what the root is mounted with
 *     N/h-ID/
 *         usr/lib/x86_64-linux-gnu/libcuda.so.1, usr/bin/nvidia-smi, …     the driver's
 *         etc/ld.so.cache                       of all libraries of the root, the driver's too
 *         models/                               mount points of directories of the host
 *     STORE/sbuild/driver/ID                    files of the driver that can't be linked from there
 *
 * A host exchanges its driver at any time, and a generation, whose units and layers stay as they
 * are, is to have the new one. So this layer alone depends on the host: it is made anew when what
 * the host has is another, named by what it is made of, before the root is mounted, and before each
 * start of a service that has GPUs (sbuild-driver@.service), when the root is mounted again. Files
 * are linked from the host, or copied, once for all services, where it is another file system.
 *
 * Libraries come to where the image's own are: where its libc is. Links and directories of the
 * image on the way are followed within it.
 */
#ifndef SB_DEPLOY_NODE_HOSTLAYER_H
#define SB_DEPLOY_NODE_HOSTLAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"

struct sb_hostlayer {
    const struct sb_node_service *service;
    const struct sb_description *description;
    uint64_t number;
    const char *const *lower; /* of the root, without this layer */
    size_t lower_count;
    uint32_t uid; /* the service's */
};

/* "STORE/sbuild/services/NAME/N/h"; the caller's. */
char *sb_hostlayer_path(const struct sb_node_service *service, uint64_t number);

/* Makes it, if what is there isn't what the host has now. A root that is mounted is mounted again.
 */
int sb_hostlayer_make(const struct sb_hostlayer *layer, struct sb_error *err);

/* The same for a generation whose units are there; nothing for one whose root has no such layer. */
int sb_hostlayer_renew(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err);

/* Whether it is what the host has now, of a generation whose units are there. */
bool sb_hostlayer_fits(const struct sb_node_service *service, uint64_t number);

/* For the unit of that root, "/run/sbuild/NAME/N". */
int sb_hostlayer_renew_root(const struct sb_node *node, const char *root, struct sb_error *err);

/* Files of the driver that no generation has any more. */
void sb_hostlayer_sweep(const struct sb_node *node);

#endif
