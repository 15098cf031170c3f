/*
 * sandbox/container_private: what the files behind sandbox/container.h share.
 */
#ifndef SB_SANDBOX_CONTAINER_PRIVATE_H
#define SB_SANDBOX_CONTAINER_PRIVATE_H

#include <jansson.h>

#include "sandbox/container.h"

/* config.json of runtime-spec 1.0. first: the file of a process above the program
 * (sandbox/first.h); NULL: none. own_users: in a user namespace of its own, with the numbers of
 * this one. A new reference. */
json_t *sb_container_config(const struct sb_root *root, const struct sb_container *container,
                            const char *first, bool own_users);

/* Whether its network is none that was made for it, with its user namespace. */
bool sb_container_shares_network(const struct sb_container *container);

#endif
