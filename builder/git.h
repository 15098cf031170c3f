/*
 * builder/git: what a git checkout says of itself: commit, branch, nearest version tag, changes.
 *
 * Commit and branch are read from the git directory. The nearest tag and whether files differ are
 * git's to say, and asking it costs as much time as a whole build that has nothing to do; so its
 * answer is remembered together with what it depends on: HEAD, the stat of packed-refs, refs/tags,
 * configuration and index, and that of every tracked file. When anything is in doubt, git is asked.
 */
#ifndef SB_BUILDER_GIT_H
#define SB_BUILDER_GIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "layers/store.h"

struct sb_git {
    bool found;      /* false: no checkout here, or one without commits; all else is empty then */
    char commit[65]; /* hexadecimal, whole */
    char abbreviated[65]; /* as git shortens it: 7 digits or more */
    char branch[256];     /* "" when HEAD is detached; cut if longer */
    char tag[256];        /* the nearest tag that looks like v1.2.3, or "" */
    unsigned distance;    /* commits since that tag */
    bool dirty;           /* tracked files differ from the commit */
    bool shallow;         /* history, and so the nearest tag, may be missing */
};

/* directory: anywhere in the checkout. memo_name is a file below the store's private directory to
 * remember the answer in. A checkout of another user that safe.directory doesn't name, and one with
 * something else in a file's place, are SB_E_FAILED; no git program is SB_E_NOT_FOUND. Nothing that
 * the checkout says is executed (builder/git_view.h). */
int sb_git_describe(const char *directory, struct sb_store *store, const char *memo_name,
                    struct sb_git *out, struct sb_error *err);

#endif
