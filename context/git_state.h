/*
 * context/git_state: whether tracked files differ from the commit.
 *
 * What git status says, but for two things that it would run programs for, and one that it is told
 * not to say. A file with a filter
 * (git-lfs, git-crypt) counts as unchanged while its stat is what git noted when it last saw it;
 * otherwise nobody can tell without the filter, and it counts as changed. A submodule is looked at
 * through a view of its own. One that git was told not to look at (update-index
 * --assume-unchanged, --skip-worktree) counts by its stat: it is built as it is.
 */
#ifndef SB_CONTEXT_GIT_STATE_H
#define SB_CONTEXT_GIT_STATE_H

#include <stdbool.h>

#include "base/error.h"
#include "context/git_view.h"

int sb_git_state(const struct sb_git_view *view, const char *scratch, bool *out_dirty,
                 struct sb_error *err);

#endif
