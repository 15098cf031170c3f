/*
 * deploy/claim: what a service takes of this host by its name, and might be another's.
 *
 *     /var/lib/NAME, /var/cache/NAME, /var/log/NAME    systemd gives them to the service's user
 *     /opt/NAME                                        of a service with root: host
 *     NAME.service, NAME.timer, NAME-blue.service, …   unit files
 *
 * A bundle chooses its name: with the name "dpkg" it would get at /var/lib/dpkg. So a directory
 * that is there already is refused, unless it is noted as the service's in
 * /etc/sbuild/directories/NAME (a path on each line), which is written when it is made. It stays
 * when the service goes, as the data do; an administrator may write it too, for data that are to
 * become the service's.
 */
#ifndef SB_DEPLOY_CLAIM_H
#define SB_DEPLOY_CLAIM_H

#include "base/error.h"
#include "deploy/node.h"

#define SB_CLAIM_DIRECTORIES "/etc/sbuild/directories"

/* Touches nothing. Two calls, as units are cheaper to look at, and come first. */
int sb_claim_check_units(const struct sb_node_service *service,
                         const struct sb_description *description, struct sb_error *err);
int sb_claim_check_directories(const struct sb_node_service *service,
                               const struct sb_description *description, struct sb_error *err);
/* Notes the directories as the service's, which must have been checked. */
int sb_claim_note(const struct sb_node_service *service, const struct sb_description *description,
                  struct sb_error *err);

#endif
