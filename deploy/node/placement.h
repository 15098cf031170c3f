/*
 * deploy/node/placement: what units need to know of this node and of the root they run in.
 */
#ifndef SB_DEPLOY_NODE_PLACEMENT_H
#define SB_DEPLOY_NODE_PLACEMENT_H

#include "base/error.h"
#include "deploy/node/node.h"
#include "deploy/units.h"
#include "sandbox/inroot.h"

struct sb_node_placement {
    struct sb_placement placement; /* borrows from what is below */
    struct sb_strings devices, lower;
    struct sb_pairs env;
    char *program;
    char label[256];
    struct sb_user user; /* the image's, once it was looked up */
};

/* The devices of these GPUs of the node, for a description that asks for GPUs; and, where SELinux
 * is on, the label that the host's own programs have. */
void sb_node_placement_start(struct sb_node_placement *out, const struct sb_node *node,
                             const struct sb_description *d, uint64_t gpus);
/* Where a generation lies; its layers, which are unpacked, get short names (layers/links.h). */
int sb_node_placement_at(struct sb_node_placement *placement, const struct sb_node_service *service,
                         const struct sb_description *d, uint64_t number, int systemd_version,
                         struct sb_error *err);
/* Whether the names of its layers would fit into a mount; touches nothing. */
int sb_node_placement_check(const struct sb_node_service *service, const struct sb_description *d,
                            uint64_t number, struct sb_error *err);
/* Looks up program and user in the root, an open directory; with what number it runs here is not
 * decided by that. */
int sb_node_placement_look(struct sb_node_placement *placement, const struct sb_description *d,
                           int root, struct sb_error *err);
/* It runs with these numbers. */
void sb_node_placement_run_as(struct sb_node_placement *placement, uint32_t uid, uint32_t gid);
/* The root gets that directory on top, which it takes (deploy/node/renumber.h,
 * deploy/node/hostlayer.h). */
void sb_node_placement_top(struct sb_node_placement *placement, char *path);
void sb_node_placement_free(struct sb_node_placement *placement);

#endif
