/*
 * builder/step_secrets: the secrets of one step while one program of it runs: files on a tmpfs, in
 * /run/secrets or where the recipe says, and variables.
 */
#ifndef SB_BUILDER_STEP_SECRETS_H
#define SB_BUILDER_STEP_SECRETS_H

#include "builder/step_mounts.h"

/* Where the files of the step's secrets are to be seen; a part of sb_step_mounts_begin. */
int sb_step_secrets_places(const struct sb_step *step, struct sb_step_mounts *mounts,
                           struct sb_error *err);
/* Makes these files, the user's; a part of sb_step_mounts_give. */
int sb_step_secrets_give(const struct sb_step *step, const struct sb_step_run_context *context,
                         const struct sb_user *user, struct sb_step_mounts *mounts,
                         struct sb_error *err);
/* No file of it is anywhere any more. */
void sb_step_secrets_end(struct sb_step_mounts *mounts);

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
