/*
 * sandbox/first: the first process of containers (base/initbytes.h).
 *
 * What is process 1 of a PID namespace has no signal of its own making, SIGKILL included, and gets
 * all orphans: a script is not to be that. So a container's program has this one above it, which
 * ends with its status.
 */
#ifndef SB_SANDBOX_FIRST_H
#define SB_SANDBOX_FIRST_H

#include <stdbool.h>

#include "base/error.h"
#include "layers/store.h"

/* A file that has it, and may be executed, for containers to mount: this process's, or, where the
 * store's file system executes nothing, one on a tmpfs at the directory, which is made. The
 * caller's to free; *out_mounted: to be unmounted. */
char *sb_first_file(struct sb_store *store, const char *directory, bool *out_mounted,
                    struct sb_error *err);

#endif
