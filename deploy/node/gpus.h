/*
 * deploy/node/gpus: which GPUs of this node are whose.
 *
 * `gpu: N` is given N devices that no other service of this node has: those that the service has
 * already, as far as they are free, then the lowest. `gpu: {count: N, shared: true}` takes free
 * ones first, and then those that only services have that share as well. `gpu: [1]` is what it
 * says, whoever else has that device.
 *
 * A service has what the record of its current generation says (deploy/node/node.h), and while one
 * is replaced by another, what either says. That is decided under the node's lock, so two
 * installations at once get different devices. It holds until the generation is replaced; that a
 * service is stopped, or its device broken, changes nothing. A generation that is gone back to
 * keeps its devices where they are still free, and else gets others: its units are made anew.
 *
 * The driver counts /dev/nvidiaN otherwise than CUDA counts devices, and CUDA counts only those
 * that a process may open. So CUDA_VISIBLE_DEVICES names them by their UUIDs, as the driver tells
 * them in /proc/driver/nvidia; where it doesn't, by their numbers among those that the service can
 * open.
 */
#ifndef SB_DEPLOY_NODE_GPUS_H
#define SB_DEPLOY_NODE_GPUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"
#include "document/pairs.h"

/* Bit N of *out: /dev/nvidiaN is for this service, which prefers those that it has. A node that has
 * fewer GPUs than are asked for gives what it has. SB_E_FAILED says who has those that are not
 * free. */
int sb_gpus_choose(const struct sb_node_service *service, const struct sb_description *d,
                   uint64_t preferred, uint64_t *out, struct sb_error *err);

/* Tells of what a choice left open: fewer GPUs than asked for, or one that another service has. */
void sb_gpus_tell(const struct sb_node_service *service, const struct sb_description *d,
                  uint64_t gpus);

/* Whether a generation has what it would be given now: a GPU that it lacked may have come since, or
 * one that its unit names by UUID may have been exchanged. */
bool sb_gpus_fit(const struct sb_node_service *service, const struct sb_description *d,
                 const struct sb_generation *generation);
/* How many of those that it asks for are not there, or not its: 0 when all are. */
unsigned sb_gpus_missing(const struct sb_node *node, const struct sb_description *d,
                         const struct sb_generation *generation);

/* Has the driver's modules loaded, and the devices made that are not there: as far as this host has
 * programs for that (nvidia-modprobe, modprobe). */
void sb_gpus_load(const struct sb_node *node, uint64_t gpus);

/* Adds what tells CUDA which devices these are, for a service that can open no others (closed) or
 * all of the node's. */
void sb_gpus_environment(const struct sb_node *node, uint64_t gpus, bool closed,
                         struct sb_pairs *out);

#endif
