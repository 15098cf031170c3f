/*
 * context/git_view: a git directory of our own, through which git looks at a checkout.
 *
 * A git directory says what git is to run: filters, a fetch of what is missing by any program, a
 * monitor of files, hooks. None of that may happen because somebody builds. So git never sees the
 * checkout's own: it gets a directory that has its commit, tags, objects and index, and of its
 * configuration what can only decide whether files differ. What git is asked for is listed where it
 * is asked.
 *
 *     struct sb_git_view view;
 *     sb_git_view_open(&checkout, scratch, NULL, &view, &err)
 *     status = sb_git_view_run(&view, (const char *const[]){"describe", NULL}, &answer, &said,
 * &err) sb_git_view_close(&view)
 */
#ifndef SB_CONTEXT_GIT_VIEW_H
#define SB_CONTEXT_GIT_VIEW_H

#include "base/buffer.h"
#include "base/error.h"
#include "context/git_checkout.h"

struct sb_git_view {
    const struct sb_checkout *checkout;
    char *path;
    struct sb_buf
        user; /* this user's and the machine's configuration, as `git config -z` lists it */
};

/* scratch: a directory for it; around: the view of the checkout that this one is a submodule of, or
 * NULL. A checkout of another user that safe.directory doesn't name, and a git directory that has
 * something else in a file's place, are SB_E_FAILED; no git program is SB_E_NOT_FOUND. */
int sb_git_view_open(const struct sb_checkout *checkout, const char *scratch,
                     const struct sb_git_view *around, struct sb_git_view *out,
                     struct sb_error *err);
void sb_git_view_close(struct sb_git_view *view);

/* Runs git at the checkout's top. 0, git's status, or -1. */
int sb_git_view_run(const struct sb_git_view *view, const char *const *arguments,
                    struct sb_buf *answer, struct sb_buf *complaint, struct sb_error *err);
/* The same where any status but 0 is a failure. */
int sb_git_view_ask(const struct sb_git_view *view, const char *const *arguments,
                    struct sb_buf *answer, struct sb_error *err);

#endif
