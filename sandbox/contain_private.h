/*
 * sandbox/contain_private: what the files behind `sbuild __contain` share.
 */
#ifndef SB_SANDBOX_CONTAIN_PRIVATE_H
#define SB_SANDBOX_CONTAIN_PRIVATE_H

#include <signal.h>
#include <stddef.h>

#define SB_CONTAIN_PLACES 8

/* Queued with a signal's number as its value: the program is to get that one. */
#define SB_CONTAIN_PASS_ON SIGUSR1

/* Sets this process apart: another mount namespace with a /tmp that has the places (NAME=DIRECTORY)
 * in it, and, as root, another user namespace. -1, errno, and what failed. */
int sb_contain_apart(char *const *places, size_t count, const char **out_what);

#endif
