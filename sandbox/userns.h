/*
 * sandbox/userns: becoming able to mount, own and run, without leaving anything behind.
 *
 * As root: a private mount namespace. As any other user: a user namespace in which this process is
 * root and the largest range of the user's subordinate ids (/etc/subuid, /etc/subgid, by newuidmap
 * and newgidmap) are 1, 2, … in it, at least 65535 of them, and a private mount namespace in it.
 */
#ifndef SB_SANDBOX_USERNS_H
#define SB_SANDBOX_USERNS_H

#include <stdbool.h>

#include "base/error.h"

/* Idempotent. Must be called while the process has one thread. The message says what is missing
 * (subordinate ids, newuidmap, a kernel setting) and how to get it. */
int sb_userns_enter(struct sb_error *err);

/* True in a user namespace other than the initial one. */
bool sb_userns_inside(void);

#endif
