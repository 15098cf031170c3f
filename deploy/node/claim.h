/*
 * deploy/node/claim: what a service takes of this host by its name, and might be another's.
 *
 *     /var/lib/NAME, /var/cache/NAME, /var/log/NAME    systemd gives them to the service's user
 *     /opt/NAME                                        of a service with root: host
 *     NAME.service, NAME.timer, NAME-blue.service, …   unit files
 *     /etc/sbuild/upstreams/UPSTREAM                   with strategy blue-green
 *
 * A bundle chooses its name: with the name "dpkg" it would get at /var/lib/dpkg. So a directory
 * that is there already is refused, unless it is noted as the service's in
 * /etc/sbuild/directories/NAME (a path on each line), which is written when it is made. It stays
 * when the service goes, as the data do; an administrator may write it too, for data that are to
 * become the service's.
 */
#ifndef SB_DEPLOY_NODE_CLAIM_H
#define SB_DEPLOY_NODE_CLAIM_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "deploy/node/node.h"

#define SB_CLAIM_DIRECTORIES "/etc/sbuild/directories"

/* Whether a file of the directory of units is one that sbuild wrote for a service. */
bool sb_claim_is_unit_of_sbuild(const struct sb_node *node, const char *unit);
/* The lines of a file of an operator's, which need not be there; appends them. */
int sb_claim_read_lines(const char *path, struct sb_strings *out, struct sb_error *err);

/* Touches nothing. Several calls, as units are cheaper to look at, and come first. */
int sb_claim_check_units(const struct sb_node_service *service,
                         const struct sb_description *description, struct sb_error *err);
int sb_claim_check_directories(const struct sb_node_service *service,
                               const struct sb_description *description, struct sb_error *err);
/* Others of this host may speak of a unit that it doesn't have: of syslog.service, which would get
 * syslog.socket, or of auditd.service, which sshd is started after. A bundle doesn't become that by
 * its name alone: for a name that the operator didn't choose. An administrator's own unit files may
 * speak of it. */
int sb_claim_check_mentions(const struct sb_node_service *service, struct sb_error *err);
/* The proxy of this host believes that file: it must be nobody else's. */
int sb_claim_check_upstream(const struct sb_node_service *service,
                            const struct sb_description *description, struct sb_error *err);
/* Notes the directories and the upstream file as the service's, which must have been checked. */
int sb_claim_note(const struct sb_node_service *service, const struct sb_description *description,
                  struct sb_error *err);

#endif
