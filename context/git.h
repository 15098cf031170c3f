/*
 * context/git: what a git checkout says of itself: commit, branch, nearest version tag, changes.
 *
 * Commit and branch are read from the git directory. The nearest tag and whether files differ are
 * git's to say, and asking it costs as much time as a whole build that has nothing to do; so its
 * answer is remembered together with what it depends on: HEAD, the stat of packed-refs, refs/tags,
 * configuration and index, and that of every tracked file. When anything is in doubt, git is asked.
 */
#ifndef SB_CONTEXT_GIT_H
#define SB_CONTEXT_GIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "layers/store.h"

struct sb_git {
    bool checkout;        /* there is one, be it without commits */
    bool found;           /* false: there is no commit; all else is empty then */
    char commit[65];      /* hexadecimal, whole */
    char abbreviated[65]; /* as git shortens it: 7 digits or more */
    char branch[256];     /* "" when HEAD is detached; cut if longer */
    char tag[256];        /* the highest version of its tags; else, where that is asked for, the
                             nearest one before; or "" */
    unsigned distance;    /* commits since that tag */
    char odd[256];        /* a tag there that may be meant as one, and is none; or "" */
    bool dirty;           /* tracked files differ from the commit */
    bool shallow;         /* history, and so the nearest tag, may be missing */
};

/* directory: anywhere in the checkout. memo_name begins the names of files below the store's
 * private directory to remember answers in. versions: which version is the nearest, where the
 * commit itself has none. A checkout of another user that safe.directory doesn't name, and one with
 * something else in a file's place, are SB_E_FAILED; no git program is SB_E_NOT_FOUND. Nothing that
 * the checkout says is executed (context/git_view.h).
 *
 * Versions are tags of the form v1.2.3 (semver.org), annotated or not; others are passed over. The
 * nearest has the fewest commits between; but of lines that a merge brought together, the highest
 * counts. Objects that git was told to replace (git replace) are what they were. */
int sb_git_describe(const char *directory, struct sb_store *store, const char *memo_name,
                    bool versions, struct sb_git *out, struct sb_error *err);

#endif
