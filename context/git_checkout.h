/*
 * context/git_checkout: where a git checkout is, and the files of its git directory that are read
 * here rather than by git.
 *
 * All of it was written by whoever made the checkout. So files are read beneath their directory and
 * must be files (base/beneath.h), and a .git that names a git directory elsewhere is believed only
 * when that one names it back, or belongs to a checkout around it.
 */
#ifndef SB_CONTEXT_GIT_CHECKOUT_H
#define SB_CONTEXT_GIT_CHECKOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"

struct sb_checkout {
    char *top;             /* of the work tree; real, as all paths here */
    char *dir;             /* the git directory: HEAD and index */
    char *common;          /* refs, objects and config: another one for a linked work tree */
    int dir_fd, common_fd; /* of these */
};

/* The checkout that the directory lies in: 1, 0 when there is none, -1. Free what was found. */
int sb_checkout_find(const char *directory, struct sb_checkout *out, struct sb_error *err);
/* The same of the very directory: a submodule. */
int sb_checkout_open(const char *top, struct sb_checkout *out, struct sb_error *err);
void sb_checkout_free(struct sb_checkout *checkout);
#define sb_autocheckout __attribute__((cleanup(sb_checkout_free)))

/* Whose it is: 0 when work tree, .git and git directory are this user's, else one who isn't. */
uid_t sb_checkout_stranger(const struct sb_checkout *checkout);

enum sb_head {
    SB_HEAD_COMMIT,
    SB_HEAD_UNBORN,   /* a branch without commits yet */
    SB_HEAD_NONE,     /* nothing that git would take for one */
    SB_HEAD_REFTABLE, /* kept where git alone can read it */
};
struct sb_head_name {
    char commit[65];
    char branch[256]; /* "" when detached; cut if longer */
};
/* -1 when something else than a file is in a file's place. */
int sb_checkout_head(const struct sb_checkout *checkout, enum sb_head *out,
                     struct sb_head_name *out_name, struct sb_error *err);

/* 40 or 64 hexadecimal digits. */
bool sb_is_commit(const char *text);

#endif
