/*
 * deploy/inside: a command where a service runs.
 *
 * It sees what the service's process sees (its mounts, root, working directory, environment), is
 * its user, has no capability that it lacks, gains no rights where it can't, and belongs to its
 * control group: what the service was kept from, the command is kept from as well. Nothing of the
 * service is used before that: no file of it, and no variable.
 */
#ifndef SB_DEPLOY_INSIDE_H
#define SB_DEPLOY_INSIDE_H

#include <sys/types.h>

#include "base/error.h"

/* Starts /bin/sh -c COMMAND beside a process, in a process group of its own. Returns its pid, or -1
 * when that process is gone (SB_E_UNHEALTHY). It exits with 126 when it can't be put there. */
pid_t sb_inside_start(pid_t service, const char *command, struct sb_error *err);

#endif
