/*
 * document/service: what a recipe says of the service that its image is (service:).
 *
 * It is parsed and checked by tables of keys (document/recipe_service.c), and kept for bundles and
 * Kubernetes manifests: who makes these asks the same tables what values may be.
 */
#ifndef SB_DOCUMENT_SERVICE_H
#define SB_DOCUMENT_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "document/pairs.h"
#include "document/schema.h"

#define SB_GPU_LIMIT 64 /* devices of one machine */

/* What a service is kept from, unless it says NAME: false (harden:). X(bit, key, meaning) */
#define SB_HARDEN_SWITCHES(X)                                                                      \
    X(SB_HARDEN_NO_NEW_PRIVILEGES, "no_new_privileges",                                            \
      "It gets no rights that it has not, by no program.")                                         \
    X(SB_HARDEN_CAPABILITIES, "capabilities",                                                      \
      "It has no capabilities; as root those that containers have.")                               \
    X(SB_HARDEN_PROTECT_SYSTEM, "protect_system",                                                  \
      "All but its own directories is read-only, home directories of the host are hidden.")        \
    X(SB_HARDEN_PROTECT_KERNEL, "protect_kernel",                                                  \
      "Settings, modules, logs, clock and control groups of the kernel are out of its reach.")     \
    X(SB_HARDEN_PROTECT_PROCESSES, "protect_processes", "It sees no processes of other users.")    \
    X(SB_HARDEN_PRIVATE_TMP, "private_tmp", "It has a /tmp and /var/tmp of its own.")              \
    X(SB_HARDEN_PRIVATE_DEVICES, "private_devices", "It has no devices but its GPUs.")             \
    X(SB_HARDEN_NAMESPACES, "namespaces", "It makes no namespaces.")                               \
    X(SB_HARDEN_ADDRESS_FAMILIES, "address_families",                                              \
      "It opens no sockets but of IP, Unix and Netlink.")                                          \
    X(SB_HARDEN_SYSTEM_CALLS, "system_calls",                                                      \
      "It makes no system calls but those that services need.")                                    \
    X(SB_HARDEN_REALTIME, "realtime", "It gets no realtime scheduling.")                           \
    X(SB_HARDEN_OWN_IDS, "own_ids", "It runs as a user of the host that is its alone.")

enum sb_harden {
#define X(bit, key, meaning) bit,
    SB_HARDEN_SWITCHES(X)
#undef X
        SB_HARDEN_COUNT
};

struct sb_service {
    bool present; /* the first member: no key's value lies at offset 0 */
    char *type; /* "service" (runs on, the default), "notify", "simple"; "job" or "oneshot" (runs to
                   its end) */
    char *schedule; /* systemd.time(7), "OnCalendar"; NULL: none. Only of a job */
    int64_t port;   /* 0 when not given */
    char *health_http, *health_command;       /* one of them, or health_tcp, or none */
    int64_t health_tcp;                       /* a port; 0 when not given */
    char *health_host;                        /* that HTTP asks for; NULL: localhost */
    uint64_t health_timeout, health_interval; /* seconds; 0: the default */
    uint64_t health_answer, health_steady;    /* likewise, but that a given steady may be 0 */
    bool has_steady;
    uint64_t start_timeout, stop_timeout; /* likewise */
    int64_t gpu;                          /* number of GPUs */
    uint64_t gpu_devices;                 /* which of them: bit N for device N; 0: any */
    bool gpu_shared;                      /* with services that share theirs as well */
    char *restart;                        /* "always", "on-failure", "no"; NULL: the default */
    struct sb_strings after, requires;    /* other services, or units */
    struct sb_pairs env;                  /* added to the image's; templates */
    struct sb_strings secrets;
    char *state, *cache, *logs; /* where the service sees its directories; NULL: it has none */
    struct sb_pairs host;       /* directories of the node, and where it sees them */
    struct sb_strings devices;  /* kinds of devices beside GPUs: "infiniband" */
    char *root;                 /* "layers", "host"; NULL: the default */
    char *strategy;             /* "recreate", "blue-green"; NULL: the default */
    int64_t spare_port;         /* of blue-green */
    char *upstream;             /* name of the file that says which port serves; NULL: NAME.conf */
    uint64_t drain;             /* seconds, when given: 0 means at once */
    bool has_drain;
    unsigned harden_off;              /* bit of each enum sb_harden that is false */
    uint64_t memory_limit;            /* bytes; 0: none */
    char *cpu_limit;                  /* "2", "1.5"; NULL: none */
    int64_t tasks_limit, files_limit; /* processes and threads; open files; 0: none */
    /* "unlimited", or a size; NULL when not given */
    char *swap_limit, *memlock_limit, *core_limit, *stack_limit;
};

/* The key whose value lies at that offset of the struct: its rule, its limits, its values. NULL:
 * none has it by itself. */
const struct sb_key *sb_service_key(size_t offset);
/* Whether the number or time at that offset was given. */
bool sb_service_says(const struct sb_service *service, size_t offset);

#endif
