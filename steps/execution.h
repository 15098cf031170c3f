/*
 * steps/execution: what a step has at hand while it runs, and what prepares it.
 *
 *     sb_userns_enter      once, single-threaded, before anything below (sandbox/userns.h)
 *     sb_root_mount        lower trees + a new upper directory → a merged root (sandbox/root.h)
 *     sb_step_kind.run     each step of the layer
 *     sb_root_unmount
 *     sb_root_clean        package managers' traces and what makes builds differ (sandbox/clean.c)
 *     sb_tree_pack         the upper directory becomes a layer
 */
#ifndef SB_STEPS_EXECUTION_H
#define SB_STEPS_EXECUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "context/context.h"
#include "context/copy.h"
#include "document/recipe.h"
#include "document/settings.h"
#include "layers/contents.h"
#include "layers/store.h"
#include "sandbox/container.h"
#include "sandbox/root.h"
#include "sandbox/step_log.h"

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

struct sb_step_times;
struct sb_step_failure;

struct sb_step_run_context {
    struct sb_store *store;
    const struct sb_settings *settings; /* mirrors, runtime, pip index */
    struct sb_registry *registry;       /* for downloads, as sb_fetch has it; may be NULL */
    const struct sb_recipe *recipe;
    const struct sb_platform *platform; /* of the root's programs; NULL: this machine's */
    const struct sb_recipe_layer *layer;
    struct sb_root *root;            /* mounted */
    struct sb_context *inputs;       /* the recipe's context directory */
    const struct sb_copy_from *from; /* that, and what comes from stages and images */
    const struct sb_secrets
        *secrets;               /* those given to the build; the step's own are chosen by name */
    const struct sb_pairs *env; /* what the step sees of the image's environment so far (base and
                                   image.env); may be NULL */
    const struct sb_pairs *own_env; /* the step's own: wins over all; may be NULL */
    const char *workdir;            /* of the image so far; "/" when none */
    int64_t epoch;                  /* SOURCE_DATE_EPOCH for the step */
    struct sb_step_log *log;
    struct sb_step_times *times;                /* steps/times.h; may be NULL */
    void (*warn)(void *data, const char *text); /* what a user has to know; may be NULL */
    void *warn_data;
    bool finished; /* the root is that of a whole image, which its programs are to find as whoever
                      runs it does: with its environment and nothing else, as its user unless they
                      say another */
    const char *user;                /* of that image; NULL: root */
    struct sb_step_failure *failure; /* filled when a program fails (steps/failure.h); or NULL */
    int failed_line; /* of the recipe file: of the command that failed; 0: that of the step */
};

/* A program of a step, as sb_step_program (steps/program.h) runs it. */
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
    const char *const *caches;  /* cache directories beside the step's own; ends in NULL; may be
                                   NULL. One program at a time uses a cache directory. */
    struct sb_streams *streams; /* of whoever watches, instead of the log; may be NULL */
    const struct sb_contain_stop *stop; /* may be NULL */
    const char *own_network;            /* as in sb_container; may be NULL */
    int *out_status; /* not NULL: whatever status it ends with is no failure, and no limit of time
                        holds */
};

#endif
