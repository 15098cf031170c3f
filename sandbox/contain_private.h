/*
 * sandbox/contain_private: what the files behind `sbuild __contain` share.
 */
#ifndef SB_SANDBOX_CONTAIN_PRIVATE_H
#define SB_SANDBOX_CONTAIN_PRIVATE_H

#include <stddef.h>

#define SB_CONTAIN_PLACES 8

/* Sets this process apart: another mount namespace with a /tmp that has the places (NAME=DIRECTORY)
 * in it, and, as root, another user namespace. -1, errno, and what failed. */
int sb_contain_apart(char *const *places, size_t count, const char **out_what);

#endif
