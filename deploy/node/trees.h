/*
 * deploy/node/trees: the unpacked layers that a generation runs on, and the blobs that they came
 * in.
 */
#ifndef SB_DEPLOY_NODE_TREES_H
#define SB_DEPLOY_NODE_TREES_H

#include "base/error.h"
#include "deploy/description.h"
#include "deploy/node/node.h"
#include "layers/reuse.h"

/* Fetches and unpacks the layers that this node lacks, several at once, and sees them to the disk.
 * Files that the service's generations have already are shared with them: of the current one rather
 * than of others, and of the layer in the same position rather than of others. Nothing for `root:
 * host`, which has no trees. */
int sb_node_trees_get(const struct sb_node_service *service, const struct sb_description *d,
                      uint64_t current, struct sb_reused *out, struct sb_error *err);

/* Removes the blobs of the layers, which are unpacked by now, where nothing else needs them
 * (layers/collect.h). Those of `root: host` stay: each generation unpacks them anew. That it
 * fails keeps nothing from running: it is only said. */
void sb_node_blobs_drop(const struct sb_node *node, const struct sb_description *d);

#endif
