/*
 * deploy/node/hostroot: `root: host`, the light variant: the application's own layers unpacked
 * under /opt/NAME/N, run by what the host has.
 */
#ifndef SB_DEPLOY_NODE_HOSTROOT_H
#define SB_DEPLOY_NODE_HOSTROOT_H

#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"
#include "deploy/node/placement.h"

/* Unpacks the layers of the description that are the application's, and gives the directory its
 * name when it is whole and on the disk, the first process of services (deploy/host/initfile.h) in
 * it. Little to do when it is there. Only that group comes to it; what the image's user could read,
 * and others may not, is its (deploy/node/renumber.h). */
int sb_hostroot_make(const struct sb_node_service *service, const struct sb_description *d,
                     const struct sb_node_placement *here, uint32_t gid, struct sb_error *err);
/* What the description's user is on this host; nobody's account (sb_ids_check_image). */
int sb_hostroot_ids(const struct sb_node_service *service, const struct sb_description *d,
                    uint32_t *out_uid, uint32_t *out_gid, struct sb_error *err);
int sb_hostroot_remove(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err);

#endif
