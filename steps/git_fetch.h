/*
 * steps/git_fetch: commits of other repositories, as git of this machine fetches them.
 *
 * Not in the step's root: an image need not have git to be given files, and which bytes a commit
 * has must not be for programs of an image to say. What a server sends is hostile: git is told so
 * (steps/git_program.h), set apart (sandbox/contain.h), and never has a work tree. What it fetched
 * it writes as a tar (git archive), which is unpacked as all foreign archives are.
 */
#ifndef SB_STEPS_GIT_FETCH_H
#define SB_STEPS_GIT_FETCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "steps/execution.h"

struct sb_git_commit {
    const char *url;
    char name[65]; /* hexadecimal, whole */
    bool submodules, lfs;
};

/* Fetches it, and writes directory/1.tar, 2.tar, … : the commit's files, then those of its
 * submodules, each with its path. out_count says how many. directory: an empty one of the store.
 * credentials: as sb_git_environment has them. It takes no longer than a download may. */
int sb_git_fetch(const struct sb_git_commit *commit, const struct sb_secret *credentials,
                 const char *directory, struct sb_step_run_context *context, size_t *out_count,
                 struct sb_error *err);

#endif
