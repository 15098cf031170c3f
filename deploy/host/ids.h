/*
 * deploy/host/ids: the user of this host that a service runs as.
 *
 * What user an image names says nothing here: its 1000 is somebody's login, its root is the host's.
 * The kernel lets processes of one user into one another (/proc/PID/root, ptrace, signals), so a
 * service gets a number that is nobody else's: its user and its group, for all its generations and
 * in both colours. Numbers come from a range that no other program gives any from (systemd's
 * UIDS-GIDS calls it unused).
 *
 *     /etc/sbuild/ids/NAME      "1879052310\n": stays when the service goes, as its data do
 *     /etc/sbuild/ids/.lock     held while a number is chosen
 *
 * The number is known to the host's databases as sbuild-NUMBER (sysusers.d, deploy/units.h).
 * With `harden: {own_ids: false}` a service has the numbers of its image instead, where no account,
 * no process and no other service of the host has them; root's it may have.
 */
#ifndef SB_DEPLOY_HOST_IDS_H
#define SB_DEPLOY_HOST_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define SB_IDS "/etc/sbuild/ids"

/* The number that is the service's; chosen, and put on record, when it has none. What is on record
 * must still be its alone. */
int sb_ids_own(const char *service, uint32_t *out, struct sb_error *err);
/* That on record, or 0: to look only. */
uint32_t sb_ids_known(const char *service);

/* Refuses numbers of an image that are an account's or a group's of this host, or are used by
 * processes that are not this service's. */
int sb_ids_check_image(const char *service, uint32_t uid, uint32_t gid, struct sb_error *err);

/* Whether services can have a user namespace of their own on this host (PrivateUsers=). */
bool sb_ids_have_namespaces(void);

#endif
