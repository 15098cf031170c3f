/*
 * deploy/node/renumber: the top layer of a root, which makes an image's files those of the
 * service's own number (deploy/host/ids.h).
 *
 *     N/oID/            ID is the number; it is the uppermost directory of the overlay
 *         etc/passwd, etc/group     the image's, where its user has that number too
 *         …                         what the image's user may read and others may not
 *
 * Most of an image's files are everybody's to read. Those that are not, but the image's user could
 * read as their owner or by their group (root: all), are here again, as the service's. Their
 * contents are not copied: files have size, mode and owner only, and overlayfs takes the bytes from
 * the layer (metacopy). Directories have nothing but what is listed here, and are merged with those
 * below.
 *
 * Which files of a layer are in question is found out once, and kept beside its tree
 * (STORE/sbuild/trees/HEX/closed).
 */
#ifndef SB_DEPLOY_NODE_RENUMBER_H
#define SB_DEPLOY_NODE_RENUMBER_H

#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"
#include "sandbox/inroot.h"

/* Makes it for a generation of layers, if it is not there. root is what it would be on top of
 * (deploy/host/rootview.h), user the image's. *out is its absolute path, the caller's. */
int sb_renumber_make(const struct sb_node_service *service, const struct sb_description *d,
                     uint64_t number, int root, const struct sb_user *user, uint32_t id, char **out,
                     struct sb_error *err);

/* The same for files that were unpacked where they are (SB_ROOT_HOST): in place. */
int sb_renumber_tree(int dir, const struct sb_user *user, uint32_t id, struct sb_error *err);

#endif
