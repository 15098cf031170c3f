/*
 * steps/git_refs: which commit a tag or branch of another repository is now.
 *
 * git asks, set apart from this machine as when it fetches (steps/git_fetch.h), where this process
 * may do that: as root, who has more to lose. A user's asks as the user.
 */
#ifndef SB_STEPS_GIT_REFS_H
#define SB_STEPS_GIT_REFS_H

#include "base/error.h"
#include "document/settings.h"
#include "steps/execution.h"

/* The commit that a ref ("refs/tags/v1") of the repository is; an annotated tag is the commit that
 * it names. credentials: as sb_git_environment has them. In bounded time. */
int sb_git_resolve(const char *url, const char *ref, const struct sb_secret *credentials,
                   const struct sb_settings *settings, char out[static 65], struct sb_error *err);

#endif
