/*
 * steps/mounts: what is in a step's root only while one program runs: the network's
 * files, and by mounts secrets, cache directories, and what the step itself brings.
 */
#ifndef SB_STEPS_MOUNTS_H
#define SB_STEPS_MOUNTS_H

#include <jansson.h>

#include "sandbox/inroot.h"
#include "steps/execution.h"

/* Where a program with the network finds what steps/authorities gives it. */
#define SB_AUTHORITIES_PLACE "/run/sbuild-authorities"
/* Where in a program's directory that is laid out which inputs: shows. */
#define SB_INPUTS_DIRECTORY "inputs"

struct sb_step_mounts {
    struct sb_mount *v; /* by destination; these have no symlinks */
    size_t n;
    struct sb_root *root;
    struct sb_root_point *points;
    size_t point_count;
    struct sb_strings sources;
    char *directory;              /* with the tmpfs of secrets */
    struct sb_root_file files[2]; /* hosts, resolv.conf */
    size_t file_count;
    struct sb_buf hosts, resolv_conf;
    struct sb_buf search; /* domains that the program's resolv.conf lacks, apart by blanks */
    bool secrets;         /* the tmpfs is mounted */
    char *authorities;    /* the directory that is shown at SB_AUTHORITIES_PLACE; NULL: none is */
    int *locks;           /* of the caches */
    size_t lock_count;
    struct sb_strings caches; /* their directories, relative to STORE/sbuild */
    json_t *brought;          /* path → digest of the step's inputs; NULL: none */
    struct sb_step_run_context *context;
};

/* The places in the root, and locks and directories of caches. Waits for others that use a cache.
 * Nobody may have a descriptor of the root open. Call sb_step_mounts_end in every case. */
int sb_step_mounts_begin(const struct sb_step *step, struct sb_step_run_context *context,
                         const struct sb_program *program, struct sb_step_mounts *out,
                         struct sb_error *err);
/* Fills in what depends on the user, who owns secrets and new caches. */
int sb_step_mounts_give(const struct sb_step *step, struct sb_step_run_context *context,
                        const struct sb_user *user, struct sb_step_mounts *mounts,
                        struct sb_error *err);
/* The program succeeded: what is in its caches now was made from what it saw. */
void sb_step_mounts_succeeded(const struct sb_step_mounts *mounts);
/* Says, to whoever listens to the context, what the program wrote in vain. */
int sb_step_mounts_end(struct sb_step_mounts *mounts, const struct sb_step *step,
                       const struct sb_step_run_context *context, struct sb_error *err);

/* ---- secrets of one step while one program of it runs: files, and variables ---- */

/* Sets the variables; one line's end at the end of a value is no part of it. */
int sb_step_secrets_environment(const struct sb_step *step,
                                const struct sb_step_run_context *context, struct sb_pairs *env,
                                struct sb_error *err);
/* Whether the step has secrets in variables: what holds them must not reach a disk. */
bool sb_step_secrets_in_environment(const struct sb_step *step);
/* Overwrites the values of these variables. */
void sb_step_secrets_forget(const struct sb_step *step, struct sb_pairs *env);

/* The path of the secret's file in the root if the step has it as one; else NULL. The caller's. */
char *sb_step_secrets_file(const struct sb_step *step, const char *name);

#endif
