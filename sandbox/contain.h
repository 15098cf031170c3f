/*
 * sandbox/contain: programs of this machine that leave nothing behind.
 *
 * A contained program has a PID namespace and a mount namespace of its own. sbuild starts itself
 * again as `sbuild __contain …`, which makes them:
 *
 *     sbuild ── keeper (waits) ── pid 1 (mounts /proc, reaps) ── the program ── whatever it starts
 *
 * When the program ends, or when any process to the left of it dies, SIGKILL included, the kernel
 * kills everything to the right, and unmounts what it mounted.
 */
#ifndef SB_SANDBOX_CONTAIN_H
#define SB_SANDBOX_CONTAIN_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

#include "document/settings.h"
#include "sandbox/step_log.h"
#include "sandbox/streams.h"

#define SB_CONTAIN_COMMAND "__contain" /* argv[1] of sbuild when it starts itself */

/* What the program sees of /sys/fs/cgroup. Runtimes make cgroups where they can, and nobody would
 * remove those of a killed build. */
enum sb_contain_cgroups {
    SB_CGROUPS_KEEP,
    SB_CGROUPS_READ_ONLY,
    SB_CGROUPS_HIDE,
};

/* A program that is set apart is root of a user namespace, whose ids are nobody's on this machine
 * (as root; a user's builds are in such a namespace anyway). It has a /tmp of its own, in which
 * these directories are, under their names, belonging to whom they belong outside. So its
 * capabilities are good for what it makes itself: it mounts nothing here, makes no device nodes,
 * and is a stranger to the files, sockets and processes of the machine. */
struct sb_contain_place {
    const char *source; /* an absolute path without "=" */
    const char *name;   /* /tmp/NAME */
};

enum sb_limit_met {
    SB_LIMIT_NONE,
    SB_LIMIT_OF_TASKS, /* a process could not be made, or more than that many would have been */
    SB_LIMIT_OF_MEMORY,
    SB_LIMIT_OF_TIME, /* it was ended; its status is that of SIGKILL */
};

/* How a program is told to end before its time. */
struct sb_contain_stop {
    int fd;           /* once it is readable */
    int signal;       /* by this one, which the program gets; */
    unsigned seconds; /* after so many, it is killed with all that it started */
};

struct sb_contain {
    const char *const *argv;
    const char *const *env;
    const char *directory; /* NULL: / */
    enum sb_contain_cgroups cgroups;
    const struct sb_contain_place *places; /* not NULL: it is set apart */
    size_t place_count;
    bool apart;      /* it is set apart, without any place */
    bool network;    /* it has this machine's, and may not ask at link-local addresses */
    bool own_system; /* /dev, of a few nodes, and /sys are not this machine's: for a runtime that
                        makes a user namespace with its numbers */
    const struct sb_limits *limits; /* kept as far as this process may; NULL: none */
    enum sb_limit_met *out_met;     /* with limits: which one was met, if any */
    /* Not NULL: its input and output, instead of none and the log. Signals go to the program then;
     * a second one, or patience, ends all of it. */
    struct sb_streams *streams;
    const struct sb_contain_stop *stop; /* NULL: it ends by itself */
};

/* Runs it with no input, and its output going to the log as it comes. out_status is its exit
 * status, or 128 + N when signal N ended it. SB_E_INTERRUPTED once this process is interrupted: all
 * processes of it are gone by then. */
int sb_contain_run(const struct sb_contain *contain, struct sb_step_log *log, int *out_status,
                   struct sb_error *err);

/* main of `sbuild __contain`: call it when argv[1] is SB_CONTAIN_COMMAND, with argv + 1, before
 * anything else. Needs to be root (of a user namespace). */
int sb_contain_main(int argc, char **argv);

#endif
