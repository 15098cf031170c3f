/*
 * deploy/host/inside: a command where a service runs.
 *
 * It sees what the service's process sees (its mounts, root, working directory, environment), is in
 * its namespaces, is its user, and belongs to its control group. Beyond what the process itself
 * has, what systemd says of the unit bounds it (deploy/host/confine.h): capabilities, user
 * namespace, filters of system calls. It gains no rights by any program. Nothing of the service is
 * used before all that: no file of it, and no variable; and nothing of who asks is left: no
 * terminal, no keyring, no limits.
 */
#ifndef SB_DEPLOY_HOST_INSIDE_H
#define SB_DEPLOY_HOST_INSIDE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "deploy/host/confine.h"

/* Starts /bin/sh -c COMMAND beside a process, in a session of its own. Returns its pid, or -1
 * when that process is gone (SB_E_UNHEALTHY): also when its number is another's by now, which is
 * not in the control group of the unit. It exits with 126 when it can't be put there. */
pid_t sb_inside_start(pid_t service, const char *unit, const struct sb_confine *confine,
                      const char *command, struct sb_error *err);

/* Whether /proc/PID/cgroup, as read, is of a process of that unit: of one that is called so, which
 * a user's own may be too. */
bool sb_inside_is_of(const char *cgroups, const char *unit);
/* In one of the hierarchies, in the very group that systemd made (ControlGroup=). */
bool sb_inside_is_below(const char *cgroups, const char *group);

#endif
