/*
 * deploy/placement: what units need to know of this node and of the root they run in.
 */
#ifndef SB_DEPLOY_PLACEMENT_H
#define SB_DEPLOY_PLACEMENT_H

#include "base/error.h"
#include "deploy/node.h"
#include "deploy/units.h"

struct sb_node_placement {
    struct sb_placement placement; /* borrows from what is below */
    struct sb_strings devices, binds, lower;
    char *program;
    char label[256];
};

/* This node's GPU devices and driver libraries, for a description that asks for GPUs; and, where
 * SELinux is on, the label that the host's own programs have. */
void sb_node_placement_start(struct sb_node_placement *out, const struct sb_description *d);
/* Where a generation lies. */
void sb_node_placement_at(struct sb_node_placement *placement,
                          const struct sb_node_service *service, uint64_t number, size_t tree_count,
                          int systemd_version);
/* Looks up program and user in the mounted root. */
int sb_node_placement_look(struct sb_node_placement *placement, const struct sb_description *d,
                           const char *root, struct sb_error *err);
void sb_node_placement_free(struct sb_node_placement *placement);

#endif
