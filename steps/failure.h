/*
 * steps/failure: what a program that failed had around it, for who looks for the reason later
 * (`sbuild run --failed`): command, environment, working directory, user, mounts. No secret's
 * value, and no proxy.
 */
#ifndef SB_STEPS_FAILURE_H
#define SB_STEPS_FAILURE_H

#include <jansson.h>

#include "steps/mounts.h"

struct sb_step_failure {
    char *directory; /* where copies of mounts go, "0", "1", …: set, and there, before */
    struct sb_strings argv;
    struct sb_pairs env;
    char *workdir, *user; /* user: NULL is root */
    bool network;
    bool finished;             /* as in sb_step_run_context */
    struct sb_strings secrets; /* as a step has them: names, files, variables */
    struct sb_strings secret_places, secret_variables;
    struct sb_strings cache_places, caches; /* where, and "caches/ID" below STORE/sbuild */
    struct sb_strings mount_places;         /* of directory's entries */
    struct sb_strings left_out;             /* places of mounts that are not kept */
};

/* env: all that the program had but secrets. What can't be kept is left out. */
void sb_step_failure_note(const struct sb_step *step, const struct sb_step_run_context *context,
                          const struct sb_program *program, const struct sb_pairs *env,
                          const char *workdir, const struct sb_step_mounts *mounts);

json_t *sb_step_failure_json(const struct sb_step_failure *failure); /* a new reference */
/* -1: it is not that. */
int sb_step_failure_parse(const json_t *json, struct sb_step_failure *out);
void sb_step_failure_free(struct sb_step_failure *failure);

#endif
