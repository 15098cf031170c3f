/*
 * deploy/node/unitfiles: a generation's unit files in the place where systemd reads them.
 *
 * Each file is replaced by one rename. The service's own file comes last: with it, and with nothing
 * else, the generation becomes the current one.
 */
#ifndef SB_DEPLOY_NODE_UNITFILES_H
#define SB_DEPLOY_NODE_UNITFILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"
#include "deploy/units.h"

/* Writes units into the generation's directory N/units, synced. */
int sb_unitfiles_keep(const struct sb_node_service *service, uint64_t number,
                      const struct sb_units *units, struct sb_error *err);

/* Appends the text of one that is kept there; SB_E_NOT_FOUND. Of services that of no colour. */
int sb_unitfiles_read(const struct sb_node_service *service, uint64_t number,
                      enum sb_unit_kind kind, struct sb_buf *out, struct sb_error *err);

/* The generation's root is mounted from where the store lies now: it was not moved meanwhile. */
bool sb_unitfiles_fit(const struct sb_node_service *service, uint64_t number);

/* Puts the mount unit in place and starts it, so that the root is there before anything needs it.
 * Nothing to do for a generation that has none. */
int sb_unitfiles_mount(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err);
/* Unmounts, and removes the mount unit. What is not there is success. */
int sb_unitfiles_unmount(const struct sb_node_service *service, uint64_t number,
                         struct sb_error *err);

/* Puts all others in place, the service's last, and lets it start at boot. systemd must be told
 * (sb_systemd_reload). */
int sb_unitfiles_place(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err);
/* Takes the service's units away, but for mounts. */
int sb_unitfiles_remove(const struct sb_node_service *service, struct sb_error *err);

/* The users that a generation's units name, where the host may not know them. */
int sb_unitfiles_users(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err);
/* Its timer in place, or none. */
int sb_unitfiles_timer(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err);
/* NAME.service becomes an alias of that unit, by one rename, and starts at boot. */
int sb_unitfiles_alias(const struct sb_node_service *service, const char *unit,
                       struct sb_error *err);
/* "NAME.timer" when the generation has one, else "NAME.service": what is started and stopped. The
 * caller's. */
char *sb_unitfiles_main(const struct sb_node_service *service, uint64_t number);

/* One file of another name, replaced by a rename as above. */
int sb_unitfiles_put(const struct sb_node *node, const char *name, const char *text,
                     struct sb_error *err);
int sb_unitfiles_drop(const struct sb_node *node, const char *name, struct sb_error *err);
/* Removes the temporary of a process that was killed while it wrote that file, as put and drop do.
 */
void sb_unitfiles_tidy(const struct sb_node *node, const char *name);
/* Starts it at boot: what "WantedBy=" of its text says. */
int sb_unitfiles_enable(const struct sb_node *node, const char *name, const char *text,
                        struct sb_error *err);
int sb_unitfiles_disable(const struct sb_node *node, const char *name, struct sb_error *err);

#endif
