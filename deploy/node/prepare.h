/*
 * deploy/node/prepare: a generation on the disk, ready to be switched to: from a bundle's checked
 * description and its unpacked layers to the unit files of this node.
 */
#ifndef SB_DEPLOY_NODE_PREPARE_H
#define SB_DEPLOY_NODE_PREPARE_H

#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"

/* What must be so before anything is touched, for that generation: systemd and overlayfs are there,
 * unit files can be written, the name is free, every secret is there, the port is nobody
 * else's, GPUs are free, the layers can be mounted from where the store is. Messages say what to
 * do. */
int sb_prepare_check(const struct sb_node_service *service,
                     const struct sb_description *description, uint64_t number,
                     int *out_systemd_version, struct sb_error *err);

/* That part of it which may have changed since a generation was made: secrets, directories of the
 * node, required units and ports. */
int sb_prepare_check_again(const struct sb_node_service *service,
                           const struct sb_description *description, struct sb_error *err);

/* That part of it which another installation can change meanwhile: under sb_node_lock it holds
 * until the generation is there. */
int sb_prepare_check_others(const struct sb_node_service *service,
                            const struct sb_description *description, struct sb_error *err);

/* Refuses when the store's file system has no room for what is to be fetched and unpacked
 * (SB_E_NO_SPACE, with the number of bytes that are missing). */
int sb_prepare_space(const struct sb_node_service *service,
                     const struct sb_description *description, struct sb_error *err);

/* Appends the paths of layers' blobs and trees that the store has not: what will be fetched. */
void sb_prepare_lacking(const struct sb_node_service *service,
                        const struct sb_description *description, struct sb_strings *out);
/* After SB_E_NO_SPACE in spite of sb_prepare_space, as layers took more than they say, or somebody
 * else took the room: removes those again, unless they are needed elsewhere by now, and says in err
 * how much there is. */
void sb_prepare_give_back(const struct sb_node_service *service,
                          const struct sb_description *description,
                          const struct sb_strings *lacking, struct sb_error *err);

/* Writes the generation's directory, under its name when it is whole and on the disk, and pins its
 * trees. generation says number, bundle, reference, gpus; the rest of it is filled in. */
int sb_prepare_generation(const struct sb_node_service *service,
                          const struct sb_description *description,
                          struct sb_generation *generation, struct sb_error *err);

/* Mounts the root, looks up in it what the units need to know, and keeps the units with the
 * generation, whose number, bundle and gpus are looked at. */
int sb_prepare_units(const struct sb_node_service *service,
                     const struct sb_description *description,
                     const struct sb_generation *generation, int systemd_version,
                     struct sb_error *err);

#endif
