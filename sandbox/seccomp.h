/*
 * sandbox/seccomp: which system calls a step may make.
 */
#ifndef SB_SANDBOX_SECCOMP_H
#define SB_SANDBOX_SECCOMP_H

#include <jansson.h>

/* The linux.seccomp object of runtime-spec 1.0. Allows what programs that build, install and test
 * need. What reaches beyond a container (mounts, modules, BPF, other namespaces) fails with EPERM,
 * and what is not listed with ENOSYS, as on a kernel without it: then C libraries use what came
 * before. A new reference. */
json_t *sb_seccomp_profile(void);

#endif
