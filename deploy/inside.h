/*
 * deploy/inside: a command where a service runs.
 *
 * It sees what the service's process sees (its mounts, root, working directory, environment), is
 * its user, has no capability that it lacks, gains no rights where it can't, and belongs to its
 * control group: what the service was kept from by these, the command is kept from as well. Only
 * the service's system-call filters (RestrictNamespaces=, SystemCallFilter= and the like) are not
 * the command's: no process can give another's to itself. Nothing of the service is used before all
 * that: no file of it, and no variable.
 */
#ifndef SB_DEPLOY_INSIDE_H
#define SB_DEPLOY_INSIDE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Starts /bin/sh -c COMMAND beside a process, in a process group of its own. Returns its pid, or -1
 * when that process is gone (SB_E_UNHEALTHY): also when its number is another's by now, which is
 * not in the control group of the unit. It exits with 126 when it can't be put there. */
pid_t sb_inside_start(pid_t service, const char *unit, const char *command, struct sb_error *err);

/* Whether /proc/PID/cgroup, as read, is of a process of that unit. */
bool sb_inside_is_of(const char *cgroups, const char *unit);

#endif
