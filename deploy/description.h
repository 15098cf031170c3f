/*
 * deploy/description: a service as nodes are told of it, all in one versioned JSON document.
 *
 * It is made from a recipe's `service:` and the image that was built, or from an image alone, goes
 * into the bundle (deploy/bundle.h), and is all that units are generated from (deploy/units.h).
 * Nothing in it belongs to one node. Same recipe and image, same bytes. Format: docs/formats.md,
 * "Service descriptions".
 *
 * On a node it is hostile: sb_description_parse takes nothing that could leave the place where it
 * will be used: names are names of files without tricks, paths have no ".." and no characters that
 * unit files treat specially, texts have no control characters but tab and newline where a value
 * may have them. What passed can be used for file names as it is, and sb_units_generate quotes the
 * rest. A description that was made here is checked by the same code (sb_description_check).
 *
 *     struct sb_description d;
 *     if (sb_description_parse(text, len, &d, &err) < 0) …        SB_E_INTEGRITY
 *     sb_description_free(&d);
 */
#ifndef SB_DEPLOY_DESCRIPTION_H
#define SB_DEPLOY_DESCRIPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include "deploy/belongings.h"
#include "document/pairs.h"
#include "document/recipe.h"
#include "layers/image.h"

/* What a recipe need not say is what is usual, in seconds where it is a time. */
#define SB_DESCRIPTION_FORMAT     1
#define SB_DESCRIPTION_LIMIT      (1u << 20) /* bytes of the document */
#define SB_SERVICE_NAME_LIMIT     64         /* so that all names made from it fit in 255 bytes */
#define SB_SERVICE_START_TIMEOUT  900        /* seconds: a model that compiles for ten minutes */
#define SB_SERVICE_STOP_TIMEOUT   30
#define SB_UPSTREAM_RELOAD        "reload" /* beside the upstream files: no name for one */
#define SB_SERVICE_DRAIN          30
#define SB_SERVICE_HEALTH_TIMEOUT 60
#define SB_SERVICE_HEALTH_EVERY   10
#define SB_SERVICE_HEALTH_ANSWER  30
#define SB_SERVICE_HEALTH_STEADY  10

/* X(value, name in JSON, systemd's Type=) */
#define SB_SERVICE_TYPES(X)                                                                        \
    X(SB_SERVICE_EXEC, "service", "exec")    /* runs on; started once it executes */               \
    X(SB_SERVICE_NOTIFY, "notify", "notify") /* runs on; says itself when it is ready */           \
    X(SB_SERVICE_SIMPLE, "simple", "simple") /* runs on; started at once */                        \
    X(SB_SERVICE_JOB, "job", "oneshot")      /* runs to its end, by schedule or when started */

enum sb_service_type {
#define X(value, name, systemd) value,
    SB_SERVICE_TYPES(X)
#undef X
};

enum sb_service_restart {
    SB_RESTART_ALWAYS,
    SB_RESTART_ON_FAILURE,
    SB_RESTART_NO,
};
enum sb_service_root {
    SB_ROOT_LAYERS, /* an overlay of all layers is its root directory */
    SB_ROOT_HOST,   /* the application's layers lie under /opt/NAME/N; the host's root is its */
};
enum sb_service_strategy {
    SB_STRATEGY_RECREATE,
    SB_STRATEGY_BLUE_GREEN,
};

struct sb_described_layer {
    struct sb_layer layer; /* tar_size is 0 when unknown */
    bool application;      /* of the recipe itself: what SB_ROOT_HOST unpacks */
};

struct sb_description {
    char *name;    /* of the service and its units: [a-z0-9]+([._-][a-z0-9]+)*, 64 at most */
    char *version; /* of the image, for people; NULL when it has none */

    struct sb_descriptor image; /* its manifest; media_type is a static string */
    char *repository;           /* "HOST/REPOSITORY" that it is pushed to; NULL when not known */
    struct sb_described_layer *layers; /* lowest first, 127 at most */
    size_t layer_count;

    enum sb_service_type type;
    char *schedule;            /* systemd.time(7), "OnCalendar"; NULL: none. Only of a job */
    struct sb_strings argv;    /* at least one word; argv[0] is a path or a name for PATH */
    char *user;                /* as in an image config: "", "1000:1000", "app", "app:staff" */
    char *workdir;             /* absolute */
    struct sb_pairs env;       /* sorted by name; the image's and the service's */
    char *stop_signal;         /* "SIGTERM", "10"; NULL: the default */
    uint16_t port, spare_port; /* 0: none */
    char *upstream;            /* name of a file of the node, under /etc/sbuild/upstreams; NULL */
    uint32_t drain;            /* seconds for its connections once another one serves; 0: none */

    char *health_http, *health_command; /* one of these, or health_tcp, or none */
    uint16_t health_tcp;
    char *health_host;                        /* that HTTP asks for; NULL: localhost */
    uint32_t health_timeout, health_interval; /* seconds; never 0 */
    uint32_t health_answer, health_steady;    /* seconds; answer 0: the usual; steady 0: none */
    uint32_t start_timeout, stop_timeout;     /* likewise; of a job start may be 0: no limit */

    unsigned gpu;         /* how many */
    uint64_t gpu_devices; /* which: bit N is /dev/nvidiaN; 0: any */
    bool gpu_shared;      /* any that no service has for itself alone */

    enum sb_service_restart restart;
    enum sb_service_root root;
    enum sb_service_strategy strategy;
    char *directories[SB_DIRECTORY_COUNT]; /* where it sees them, absolute; NULL: not asked for */
    struct sb_pairs
        host;        /* directories of the node that it reads, and where it sees them; sorted */
    bool infiniband; /* /dev/infiniband as well */
    struct sb_strings volumes; /* the image's own such paths, sorted (deploy/node/volumes.h) */
    struct sb_strings secrets; /* names */
    struct sb_strings after, requires; /* names of units, "backend.service" */

    uint64_t memory; /* bytes; 0: no limit, as below */
    char *cpu;       /* "1.5" processors; NULL: no limit */
    int64_t tasks, files;
    char *swap, *memlock, *core, *stack; /* "unlimited", or bytes; NULL: not said */

    unsigned harden_off; /* of SB_HARDEN_… (document/recipe.h): what is not to be hardened */
};

/* Each fills *out; on failure it is empty. Free with sb_description_free. */

/* From JSON. Unknown keys are refused: a description of a later sbuild may mean something by them
 * that must not be left out. SB_E_INTEGRITY says which value is wrong. */
int sb_description_parse(const char *text, size_t len, struct sb_description *out,
                         struct sb_error *err);
/* From an image of the store, and what its recipe says, if there is one: recipe may be NULL.
 * application_layers says how many of the topmost layers are the recipe's own. name and version
 * (either may be NULL) win over what recipe and image say. SB_E_RECIPE or SB_E_FAILED says what a
 * service can't be made from. */
int sb_description_make(const struct sb_image *image, const struct sb_recipe *recipe,
                        size_t application_layers, const char *name, const char *version,
                        struct sb_description *out, struct sb_error *err);

/* Whether it holds all that sb_description_parse promises; SB_E_INTEGRITY. */
int sb_description_check(const struct sb_description *description, struct sb_error *err);

/* Canonical: keys sorted, compact; without a newline at its end. */
void sb_description_write(const struct sb_description *description, struct sb_buf *out);
/* The document as JSON, a new reference. */
json_t *sb_description_json(const struct sb_description *description);

void sb_description_free(struct sb_description *description);

/* It runs as a user of the host that is its alone (deploy/host/ids.h); else as its image's. */
bool sb_description_own_ids(const struct sb_description *description);

/* A name that a service may have. For names that come from a command line too. */
bool sb_service_name_valid(const char *name);

const char *sb_service_restart_name(enum sb_service_restart how); /* "always", "on-failure", "no" */

#endif
