#include "deploy/node/recover.h"

#include <errno.h>
#include <poll.h>

#include "base/jobs.h"
#include "base/memory.h"
#include "base/process.h"
#include "deploy/node/switch.h"
#include "deploy/node/watch.h"

#define LOOK_EVERY 50 /* milliseconds */
#define PARALLEL   8  /* services put in order at once */

static int put_in_order(struct sb_node_service *service, struct sb_error *err) {
    enum sb_operation_kind kind;
    int rc = sb_switch_recover(service, &kind, err);
    sb_node_service_close(service);
    return rc;
}

/* Who has the lock may have put nothing on record yet: before something was seen there, only a free
 * lock says that there is nothing to do. */
static int wait_and_mend(const struct sb_node *node, const char *name, struct sb_error *err) {
    struct sb_node_service *service;
    for (bool seen = false;;) {
        struct sb_error own = {0};
        bool now = sb_operation_exists(node, name);
        if (seen && !now)
            return 0;
        seen = now;
        if (sb_node_service_try(node, name, &service, &own) == 0)
            return put_in_order(service, err);
        if (own.code == SB_E_NOT_FOUND)
            return 0;
        if (own.os_errno != EWOULDBLOCK) {
            *err = own;
            return -1;
        }
        if (sb_interrupt_check(err) < 0)
            return -1;
        struct pollfd interrupted = {.fd = sb_interrupt_fd(), .events = POLLIN};
        poll(&interrupted, 1, LOOK_EVERY);
    }
}

/* An uninstallation may have been killed when nothing but the units of the watch was left to go. */
int sb_recover(const struct sb_node *node, const char *name, struct sb_error *err) {
    return wait_and_mend(node, name, err) < 0 ? -1 : sb_watch_no_units(node, err);
}

struct one {
    const struct sb_node *node;
    const char *name;
    struct sb_error err;
    int rc;
};

/* No failure for the others: they are seen to all the same. */
static int recover_one(void *data, struct sb_error *err) {
    struct one *one = data;
    (void)err;
    one->rc = sb_recover(one->node, one->name, &one->err);
    return 0;
}

int sb_recover_all(const struct sb_node *node, struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    if (sb_node_services(node, &names, err) < 0)
        return -1;
    sb_autofree struct one *list = sb_alloc((names.n + 1) * sizeof *list);
    struct sb_jobs *jobs = sb_jobs_new(PARALLEL);
    for (size_t i = 0; i < names.n; i++) {
        list[i] = (struct one){.node = node, .name = names.v[i]};
        sb_jobs_add(jobs, recover_one, &list[i]);
    }
    int rc = sb_jobs_wait(jobs, err);
    sb_jobs_free(jobs);
    for (size_t i = 0; i < names.n && rc == 0; i++)
        if (list[i].rc < 0) {
            *err = list[i].err;
            rc = sb_error_context(err, "%s", names.v[i]);
        }
    return rc < 0 ? rc : sb_watch_no_units(node, err);
}
