/*
 * sandbox/cgroup: control groups for one step, as far as this process may make any: as root mostly,
 * as a user where a group was delegated. Version 1, version 2, and both at once.
 *
 * They are made below this process's own groups, or beside its own of version 2, where one that has
 * processes can have no groups below; then its own limits are theirs, too.
 */
#ifndef SB_SANDBOX_CGROUP_H
#define SB_SANDBOX_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

struct sb_cgroup {
    struct sb_strings directories; /* a process enters each by its cgroup.procs */
    char *tasks, *memory;          /* which of them limits what; NULL: none does */
    char *second;                  /* the one of version 2; NULL: none */
};

/* 0: no limit. filter: what goes to link-local addresses is dropped (sandbox/egress.h). What can't
 * be made is left out. */
void sb_cgroup_make(uint64_t tasks, uint64_t memory, bool filter, struct sb_cgroup *out);
/* Whether a process could not be made, or was killed, for that. */
bool sb_cgroup_met_tasks(const struct sb_cgroup *cgroup);
bool sb_cgroup_met_memory(const struct sb_cgroup *cgroup);
/* Once nothing runs in them. */
void sb_cgroup_drop(struct sb_cgroup *cgroup);

#endif
