/*
 * builder/execution: what a step has at hand while it runs, and what prepares it.
 *
 *     sb_userns_enter      once, single-threaded, before anything below (builder/userns.h)
 *     sb_root_mount        lower trees + a new upper directory → a merged root (builder/root.h)
 *     sb_step_kind.run     each step of the layer
 *     sb_root_unmount
 *     sb_root_clean        package managers' traces and what makes builds differ (builder/clean.c)
 *     sb_tree_pack         the upper directory becomes a layer
 */
#ifndef SB_BUILDER_EXECUTION_H
#define SB_BUILDER_EXECUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "builder/context.h"
#include "builder/recipe.h"
#include "builder/root.h"
#include "builder/settings.h"
#include "layers/contents.h"
#include "layers/store.h"

/* A secret's value, in memory only; never written anywhere but to a tmpfs of the step. */
struct sb_secret {
    char *name;
    char *value;
    size_t len;
};
struct sb_secrets {
    struct sb_secret *v;
    size_t n, cap;
};

/* Where a step's output goes: the whole log, and whoever shows progress. */
struct sb_step_log {
    int fd;           /* the log file; everything is written here, unclipped */
    const char *path; /* named in messages */
    void (*line)(void *data, const char *text,
                 size_t len); /* each chunk of output, live; may be NULL */
    void *data;
    struct sb_buf tail; /* the last lines written, kept by sb_step_log_write; at most 64 kB */
    size_t own;         /* how much of it is of the program that runs, or ran last */
    int disk;           /* of the store; with 0, nobody looks whether it is full */
    bool full;          /* the program said so, and it was */
};
#define SB_STEP_LITTLE_ROOM                                                                        \
    (8u << 20) /* bytes: one that needs more at once finds the disk full                           \
                */
void sb_step_log_write(struct sb_step_log *log, const char *text, size_t len);
/* The last max lines of output, for the error message of a failing step. */
void sb_step_log_last_lines(const struct sb_step_log *log, int max, struct sb_buf *out);

/* From here on it is another program's. */
void sb_step_log_begin(struct sb_step_log *log);
/* What the program said last. */
const char *sb_step_log_said(const struct sb_step_log *log);

struct sb_step_times;

struct sb_step_run_context {
    struct sb_store *store;
    const struct sb_settings *settings; /* mirrors, runtime, pip index */
    struct sb_registry *registry;       /* for downloads, as sb_fetch has it; may be NULL */
    const struct sb_recipe *recipe;
    const struct sb_recipe_layer *layer;
    struct sb_root *root;      /* mounted */
    struct sb_context *inputs; /* the recipe's context directory */
    const struct sb_secrets
        *secrets;               /* those given to the build; the step's own are chosen by name */
    const struct sb_pairs *env; /* what the step sees of the image's environment so far (base and
                                   image.env); may be NULL */
    const char *workdir;        /* of the image so far; "/" when none */
    int64_t epoch;              /* SOURCE_DATE_EPOCH for the step */
    struct sb_step_log *log;
    struct sb_step_times *times;                /* builder/step_times.h; may be NULL */
    void (*warn)(void *data, const char *text); /* what a user has to know; may be NULL */
    void *warn_data;
    int failed_line; /* of the recipe file: of the command that failed; 0: that of the step */
};

/* A file or directory of this machine, seen at a place of the root while one program runs. The
 * place need not exist there, and nothing of it stays in the layer. */
struct sb_mount {
    const char *source;      /* absolute; a file or a directory */
    const char *destination; /* absolute, in the root; symlinks are followed within the root. Or
                                "/dev/…", where nothing is a link */
    bool read_only;
};

/* Runs a program in the step's root: the one way in which steps run programs. Its environment is
 * PATH, HOME, LANG=C.UTF-8, TZ=UTC and SOURCE_DATE_EPOCH, then the image's (context->env), then,
 * for run steps, the arguments that it sees, then env; later ones win. Nothing else of this
 * machine's environment is there, but for http_proxy and its like when there is a network. The
 * step's secrets and cache directories are in place. Output goes to context->log. A non-zero exit
 * is SB_E_STEP with the command and the status; the builder adds the log's tail. */
struct sb_program {
    const char *const *argv; /* argv[0] is looked up in the PATH of the root */
    const char *name;        /* what messages call it; NULL: argv, joined */
    /* What of it failed, once it has ended: NULL is all of it. The caller's to free. */
    char *(*failed)(void *data);
    void *failed_data;
    const struct sb_pairs *env; /* may be NULL */
    const char *workdir;        /* made if it is missing; NULL: context->workdir, likewise */
    const char *user;           /* name or uid, and maybe :group or :gid; NULL: root */
    bool network;               /* this machine's network, with its resolv.conf */
    bool no_search; /* but for its search domains, which LOCALDOMAIN has: scripts of packages write
                       down what domain they think they are in */
    const struct sb_mount *mounts;
    size_t mount_count;
    const char *const *caches; /* cache directories beside the step's own; ends in NULL; may be
                                  NULL. One program at a time uses a cache directory. */
};
int sb_step_program(const struct sb_step *step, struct sb_step_run_context *context,
                    const struct sb_program *program, struct sb_error *err);

/* Runs a program of this machine (mmdebstrap) that dies, with all that it starts, when it ends or
 * when this process dies; mounts it makes are its own. Its environment is PATH, HOME=/root,
 * LANG=C.UTF-8, TZ=UTC and http_proxy and its like, then env. Output goes to the log. A non-zero
 * exit is SB_E_STEP; a program that is not installed is SB_E_NOT_FOUND, to which callers add a
 * hint. */
struct sb_contain_place;
struct sb_host_program {
    const char *const *argv;
    const struct sb_pairs *env;            /* may be NULL */
    const char *directory;                 /* NULL: / */
    const struct sb_contain_place *places; /* not NULL: it is set apart (builder/contain.h) */
    size_t place_count;
    const struct sb_limits *limits; /* NULL: none */
};
int sb_host_program(const struct sb_host_program *program, struct sb_step_log *log,
                    struct sb_error *err);

#endif
