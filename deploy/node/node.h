/*
 * deploy/node/node: what this machine knows of its services.
 *
 *     STORE/sbuild/services/NAME/
 *         N/                 a generation; whole, but for its units, when it has this name
 *             description.json   (deploy/description.h)
 *             record.json        where it came from, and what became of it
 *             m/                 mount points: the lowest directory of its root
 *             mend/              above its layers: what their trees can't say (layers/mend.h), if
 *                                there is anything
 *             h                  what this host brings: the uppermost (deploy/node/hostlayer.h)
 *             units/             the unit files as they are installed; made before a switch to it,
 *                                and again where other GPUs are to be its (deploy/node/gpus.h)
 *             units/PORT/        with strategy blue-green: the service's, in each colour
 *         operation.json     what is being done; absent when nothing is
 *         follow.json        the tag that it follows (deploy/node/follow.h)
 *     STORE/sbuild/keys/service-NAME     the lock: one operator at a time
 *     STORE/sbuild/keys/gpus, recover    locks of all services (deploy/node/gpus.h,
 * deploy/node/recover.h) STORE/sbuild/pins/service-NAME     its trees, and their layers' tables of
 * contents (layers/pin.h)
 *
 * Which generation is current is not written here: it is the one that the service's unit file in
 * /etc/systemd/system names, in its section [X-Sbuild]. That file is replaced by one rename. So
 * after any accident there is one answer, and systemd acts on the same. With strategy blue-green
 * the file is a symlink, to the unit of one colour (deploy/node/green.h).
 *
 *     struct sb_node_service *service;
 *     if (sb_node_service_open(&node, "backend", &service, &err) < 0) …     takes the lock
 *     …
 *     sb_node_service_close(service);
 */
#ifndef SB_DEPLOY_NODE_NODE_H
#define SB_DEPLOY_NODE_NODE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "deploy/description.h"
#include "layers/store.h"

struct sb_node {
    struct sb_store *store;
    const char *units;   /* directory of unit files; NULL: /etc/systemd/system */
    const char *devices; /* NULL: /dev */
    const char *driver;  /* what the GPUs' driver says of each; NULL: /proc/driver/nvidia/gpus */
    const char *host;    /* root directory that its driver's files are in; NULL: "" */
    /* Told what goes on, in a line without newline; may be NULL. */
    void (*say)(void *data, const char *line);
    void *data;
    bool mends; /* this process puts in order what others left: nobody watches over it */
};
void sb_node_say(const struct sb_node *node, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
const char *sb_node_units(const struct sb_node *node);
/* Services are root's to change. */
int sb_node_need_root(struct sb_error *err);

/* What no two services may have (a port, an upstream file, a GPU) is decided under this lock. Waits
 * for it; returns a descriptor to be closed when what was decided is on record, or -1. */
int sb_node_lock(const struct sb_node *node, struct sb_error *err);

/* ---- services ---- */

struct sb_node_service {
    const struct sb_node *node;
    char *name;
    char *unit; /* "NAME.service" */
    char *path; /* absolute, of services/NAME */
    int fd;     /* of the same */
    int lock;
};

/* Takes the service's lock, waiting for another operator, who is announced. Its directory is made
 * when missing. SB_E_USAGE for a name that no service may have. */
int sb_node_service_open(const struct sb_node *node, const char *name, struct sb_node_service **out,
                         struct sb_error *err);
/* The same for one that is there: SB_E_NOT_FOUND when it is not, or is not any more once the lock
 * is free. */
int sb_node_service_find(const struct sb_node *node, const char *name, struct sb_node_service **out,
                         struct sb_error *err);
/* As find, but does not wait: os_errno of err is EWOULDBLOCK when another is at work on it. */
int sb_node_service_try(const struct sb_node *node, const char *name, struct sb_node_service **out,
                        struct sb_error *err);
/* Without a lock, to look only: SB_E_NOT_FOUND when there is no such service. */
int sb_node_service_look(const struct sb_node *node, const char *name, struct sb_node_service **out,
                         struct sb_error *err);
/* Removes the directory of a service without generations. NULL is allowed. */
void sb_node_service_close(struct sb_node_service *service);
/* Takes its directory out of sight at once, with all that is in it, operation.json too. */
int sb_node_service_forget(struct sb_node_service *service, struct sb_error *err);
/* Makes an empty one for a service that was forgotten. */
int sb_node_service_anew(struct sb_node_service *service, struct sb_error *err);
/* Names of all services that there is a directory of, sorted. */
int sb_node_services(const struct sb_node *node, struct sb_strings *out, struct sb_error *err);

/* A JSON file of a service's own; *out is a new reference, NULL when there is no such file. */
int sb_node_read_json(const struct sb_node_service *service, const char *name, size_t limit,
                      json_t **out, struct sb_error *err);

#define SB_COLOURS 2
extern const char *const sb_colours[SB_COLOURS]; /* "blue", "green" */

/* What a unit file says of itself. */
struct sb_node_slot {
    const char *colour;  /* of sb_colours; NULL: NAME.service is the unit itself */
    uint64_t generation; /* 0: there is none */
    uint16_t port;       /* that the process listens on; 0: not known, or none */
    char unit[SB_SERVICE_NAME_LIMIT + sizeof "-green.service"];
};
/* The unit that NAME.service stands for, and its generation: the current one. Units of that name
 * which are not sbuild's are SB_E_FAILED. */
int sb_node_slot(const struct sb_node_service *service, struct sb_node_slot *out,
                 struct sb_error *err);
/* The unit of a colour, whether it is the current one or not. */
int sb_node_slot_of(const struct sb_node_service *service, const char *colour,
                    struct sb_node_slot *out, struct sb_error *err);
/* The current generation alone. */
int sb_node_current(const struct sb_node_service *service, uint64_t *out, struct sb_error *err);

/* ---- generations ---- */

/* X(value, name) */
#define SB_GENERATION_STATES(X)                                                                    \
    X(SB_GENERATION_PREPARED, "prepared") /* ready, never seen healthy */                          \
    X(SB_GENERATION_HEALTHY, "healthy")   /* became healthy */                                     \
    X(SB_GENERATION_FAILED, "failed")     /* did not, and was taken back */

enum sb_generation_state {
#define X(value, name) value,
    SB_GENERATION_STATES(X)
#undef X
};
const char *sb_generation_state_name(enum sb_generation_state state);

#define SB_GENERATION_MEND "mend"

struct sb_generation {
    uint64_t number;
    enum sb_generation_state state;
    struct sb_digest bundle, image;
    char *reference;   /* as it was named: "registry.example.com/team/backend:bundle-v1" */
    char *provenance;  /* whose the name is (deploy/node/provenance.h); NULL: an older sbuild's */
    char *version;     /* NULL when it has none */
    int64_t installed; /* seconds */
    int64_t since;     /* when it was last seen healthy after a switch; 0: never */
    char *failure, *journal; /* why it failed, and what the service said; NULL */
    struct sb_strings trees; /* relative to STORE */
    uint64_t gpus;           /* bit N: it has /dev/nvidiaN (deploy/node/gpus.h) */
    char *platform; /* of another processor, that was asked for (deploy/host/native.h); NULL */
};
void sb_generation_free(struct sb_generation *generation);

int sb_generation_load(const struct sb_node_service *service, uint64_t number,
                       struct sb_generation *out, struct sb_error *err);
/* Replaces record.json; of a generation that is just being made: in its open directory. */
int sb_generation_write(int dirfd, const struct sb_generation *generation, struct sb_error *err);
int sb_generation_save(const struct sb_node_service *service,
                       const struct sb_generation *generation, struct sb_error *err);
/* It has been healthy before. */
bool sb_generation_ran_well(const struct sb_node_service *service, uint64_t number);
/* [0, 2]: its GPUs; a new reference. */
json_t *sb_generation_gpus_json(const struct sb_generation *generation);
int sb_generation_description(const struct sb_node_service *service, uint64_t number,
                              struct sb_description *out, struct sb_error *err);
/* The text of its unit in one colour, on one of its two ports, as it is kept with it: a path
 * relative to the service's directory; the caller's. */
char *sb_generation_coloured_unit(const struct sb_node_service *service, uint64_t number,
                                  uint16_t port, const char *colour);
struct sb_generation_list {
    struct sb_generation *v;
    size_t n, cap;
};
/* All whose record can be read, the oldest first. */
int sb_generations(const struct sb_node_service *service, struct sb_generation_list *out,
                   struct sb_error *err);
void sb_generation_list_free(struct sb_generation_list *list);
/* Removes one, with what it says; what it relied on stays pinned until sb_node_pin. */
int sb_generation_remove(const struct sb_node_service *service, uint64_t number,
                         struct sb_error *err);
/* Removes what a killed process was making or removing; at a time when none is. */
void sb_generation_sweep(const struct sb_node_service *service);
/* Pins what the generations rely on that could run (again). */
int sb_node_pin(const struct sb_node_service *service, struct sb_error *err);

/* ---- the operation under way ---- */

/* X(value, name) */
#define SB_OPERATIONS(X)                                                                           \
    X(SB_OPERATION_NONE, "none")                                                                   \
    X(SB_OPERATION_INSTALL, "install")                                                             \
    X(SB_OPERATION_ROLLBACK, "rollback")                                                           \
    X(SB_OPERATION_UNINSTALL, "uninstall")

enum sb_operation_kind {
#define X(value, name) value,
    SB_OPERATIONS(X)
#undef X
};
struct sb_operation {
    enum sb_operation_kind kind;
    uint64_t from, to; /* generations; from 0: there was none */
    uint32_t wait;     /* seconds for health of to; 0: what its description says */
    bool back;         /* to was found unhealthy: from is to run again */
    bool started;      /* systemd was told to start the one that is to run, and need not be again */
};
/* Of kind NONE when there is none. One that can't be read is an error. */
int sb_operation_load(const struct sb_node_service *service, struct sb_operation *out,
                      struct sb_error *err);
int sb_operation_save(const struct sb_node_service *service, const struct sb_operation *operation,
                      struct sb_error *err);
/* Whether something is under way there, or was when its process died; also without the lock. */
bool sb_operation_exists(const struct sb_node *node, const char *name);
int sb_operation_clear(const struct sb_node_service *service, struct sb_error *err);

#endif
