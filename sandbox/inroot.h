/*
 * sandbox/inroot: paths and users of a root file system, looked up without leaving it: "/" and
 * symlinks mean what they mean to a program in it.
 */
#ifndef SB_SANDBOX_INROOT_H
#define SB_SANDBOX_INROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* openat2 with RESOLVE_IN_ROOT; -1 and errno. */
int sb_inroot_open(int root, const char *path, int flags);

/* The path without symlinks, "." and "..": "/a/b", or "/". Parts that do not exist are kept as they
 * are; out_exists says whether all do. The caller's to free; NULL and err after 40 symlinks. */
char *sb_inroot_resolve(int root, const char *path, bool *out_exists, struct sb_error *err);

/* The program that a name means there with a PATH (or the name itself when it has a slash): true
 * when it is an executable file. */
bool sb_inroot_has_program(int root, const char *name, const char *path, const char *workdir);

struct sb_user {
    uid_t uid;
    gid_t gid;
    gid_t groups[64]; /* supplementary */
    size_t group_count;
    char name[64]; /* as /etc/passwd has it; "" when it is not there, or longer */
    char home[256];
};
/* "name", "uid", "name:group", "uid:gid", by /etc/passwd and /etc/group of the root; NULL is root.
 * A number needs no entry there. */
int sb_inroot_user(int root, const char *name, struct sb_user *out, struct sb_error *err);

#endif
