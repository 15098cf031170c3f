/*
 * deploy/host/confine: what systemd keeps a unit's processes from, for a process that systemd did
 * not start.
 *
 * Read from systemd, not from a process of the unit: what a process shows of itself is its own to
 * change (a user namespace that it made shows all capabilities), and drop-ins count too. The
 * filters are made as systemd makes them, by libseccomp, and are no wider: of a system call that
 * is not known here nothing is allowed.
 */
#ifndef SB_DEPLOY_HOST_CONFINE_H
#define SB_DEPLOY_HOST_CONFINE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SB_CONFINE_FILTERS 2

struct sb_confine {
    char *cgroup;          /* "/system.slice/web.service"; NULL: not known */
    uint64_t capabilities; /* that a process of the unit may ever have */
    bool private_users;    /* systemd gives it a user namespace */
    uint32_t uid;          /* 0: root, or a name */
    struct sock_fprog filters[SB_CONFINE_FILTERS]; /* to be loaded, in this order */
    size_t filter_count;
};

/* Asks systemd. Free with sb_confine_free. */
int sb_confine_read(const char *unit, struct sb_confine *out, struct sb_error *err);
/* From what `systemctl show` prints. */
int sb_confine_parse(const char *text, struct sb_confine *out, struct sb_error *err);
void sb_confine_free(struct sb_confine *confine);

#endif
