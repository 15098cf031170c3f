/*
 * deploy/node/status: what runs on this node, what it takes, and giving some of it back.
 */
#ifndef SB_DEPLOY_NODE_STATUS_H
#define SB_DEPLOY_NODE_STATUS_H

#include <jansson.h>

#include "base/error.h"
#include "deploy/node/node.h"

#define SB_GENERATIONS_KEPT 3

/* Facts of one service, as docs/formats.md, "sbuild status --json" lists them; a new reference.
 * Health is asked for now. */
int sb_service_status(const struct sb_node *node, const char *name, json_t **out,
                      struct sb_error *err);
/* Bytes of all trees that services of this node hold, each once. */
int sb_node_disk(const struct sb_node *node, uint64_t *out, struct sb_error *err);

/* Removes generations of each service but the newest SB_GENERATIONS_KEPT that could run, the one
 * that runs, and the record of the last failure. What was removed is appended as "NAME N". What
 * they held is then the collector's (layers/collect.h). */
int sb_node_prune(const struct sb_node *node, bool dry_run, struct sb_strings *out,
                  struct sb_error *err);

#endif
