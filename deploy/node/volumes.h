/*
 * deploy/node/volumes: what a service may write to because its image says so (`Volumes` of its
 * config), as databases do.
 *
 *     /var/lib/sbuild-volumes/NAME/var~lib~data      is /var/lib/data of the service NAME
 *
 * A directory is made when the service is first installed, with what the image has at that path,
 * and is the service's user's; who is root here too finds in it the owners that the image has. From
 * then on it is the service's alone: no release and no rollback changes it, and it stays when the
 * service is uninstalled. Holes of files stay holes, and what there is no room for is refused
 * before anything is copied: /var/lib is the host's. Only the directory itself is in reach of the
 * service. All above it is root's, so that no service can lead the next mount elsewhere by a
 * symlink.
 */
#ifndef SB_DEPLOY_NODE_VOLUMES_H
#define SB_DEPLOY_NODE_VOLUMES_H

#include "base/error.h"
#include "deploy/description.h"

/* Makes those that are missing. root is the service's root, an open directory. top is where all
 * volumes of this host lie: SB_VOLUMES. */
int sb_volumes_make(const struct sb_description *d, int root, uint32_t uid, uint32_t gid,
                    const char *top, struct sb_error *err);

#endif
