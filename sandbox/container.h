/*
 * sandbox/container: one program in a root file system, by an OCI runtime.
 *
 * Makes a bundle (runtime-spec 1.0, config.json) in the store's tmp and runs it under containment
 * (sandbox/contain.h): new PID, mount, IPC, UTS and maybe network namespaces, Docker's default
 * capabilities without MKNOD, masked paths, a seccomp profile (sandbox/seccomp.h), no cgroup; as
 * root a user namespace with the numbers of this one, where that can be. The same program sees the
 * same things as root and rootless. sb_step_program (steps/program.h) is what steps use; this is
 * what lies under it.
 */
#ifndef SB_SANDBOX_CONTAINER_H
#define SB_SANDBOX_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "document/pairs.h"
#include "document/settings.h"
#include "layers/store.h"
#include "sandbox/contain.h"
#include "sandbox/root.h"
#include "sandbox/step_log.h"

/* A file or directory of this machine, seen at a place of the root while one program runs. The
 * place need not exist there, and nothing of it stays in the layer. */
struct sb_mount {
    const char *source;      /* absolute; a file or a directory */
    const char *destination; /* absolute, in the root; symlinks are followed within the root. Or
                                "/dev/…", where nothing is a link */
    bool read_only;
};

struct sb_container {
    const char *const *argv;
    const struct sb_pairs *env; /* all of it */
    const char *workdir;        /* exists in the root */
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /* supplementary */
    size_t group_count;
    bool network;
    const struct sb_mount *mounts; /* destinations exist in the root, without symlinks; in order */
    size_t mount_count;
    bool secret;                    /* env has what no disk may have: the bundle is in memory */
    const struct sb_limits *limits; /* see sandbox/contain.h */
    enum sb_limit_met *out_met;
    struct sb_streams *streams;
    const struct sb_contain_stop *stop;
    const char *own_network; /* without network: a file that is a network namespace; NULL: a new
                                one */
};

/* Runs it and waits; out_status is its exit status, or 128 + N when signal N ended it. Output goes
 * to the log as it comes. A runtime that fails by itself is SB_E_FAILED with its message, unless
 * settings name none and another works. */
int sb_container_run(struct sb_store *store, const struct sb_settings *settings,
                     const struct sb_root *root, const struct sb_container *container,
                     struct sb_step_log *log, int *out_status, struct sb_error *err);

#endif
