#include "deploy/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/jobs.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/process.h"
#include "deploy/switch.h"
#include "deploy/systemd.h"
#include "deploy/unitfiles.h"

#define BOOT_UNIT      "sbuild-recover.service"
#define WATCH_UNIT     "sbuild-recover@.service"
#define WATCH_INSTANCE "sbuild-recover@%s.service"
#define UNIT_LIMIT     (256u << 10)
#define LOOK_EVERY     50 /* milliseconds */
#define PARALLEL       8  /* services put in order at once */

/* What readlink appends when the program was replaced meanwhile, as upgrades do. */
#define DELETED " (deleted)"

char *sb_own_program(struct sb_error *err) {
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0) {
        sb_fail_errno(err, SB_E_IO, "looking up this program's path");
        return NULL;
    }
    size_t len = (size_t)n, tail = strlen(DELETED);
    if (len > tail && !memcmp(path + len - tail, DELETED, tail))
        len -= tail;
    return sb_strndup(path, len);
}

void sb_unit_add_word(struct sb_buf *line, const char *word) {
    sb_buf_adds(line, " \"");
    for (const char *p = word; *p; p++) {
        if (*p == '"' || *p == '\\')
            sb_buf_addc(line, '\\');
        if (*p == '%' || *p == '$')
            sb_buf_addc(line, *p);
        sb_buf_addc(line, *p);
    }
    sb_buf_addc(line, '"');
}

/* ---- the units ---- */

/* Both may have to wait for long, and systemd for neither. Only what they do is logged, not that
 * they come and go. */
static void add_service(struct sb_buf *text, const char *program, const char *arguments,
                        const char *store) {
    sb_buf_addf(text,
                "RequiresMountsFor=%s\n\n[Service]\nType=exec\nExecStart=%s status %s --store",
                store, program, arguments);
    sb_unit_add_word(text, store);
    sb_buf_adds(
        text,
        "\nRestart=on-abnormal\nRestartSec=1s\n"
        "StandardOutput=null\nStandardError=journal\nSyslogLevel=notice\nLogLevelMax=notice\n");
}

/* Also started on a node without services: it takes itself away then, which a killed uninstall did
 * not come to. */
static int write_boot_unit(const struct sb_node *node, const char *program, struct sb_error *err) {
    const char *store = sb_store_path(node->store);
    sb_autobuf struct sb_buf text = {0};
    sb_buf_addf(&text,
                "[Unit]\nDescription=Finish or undo what sbuild did when the machine went down\n"
                "ConditionPathExistsGlob=|%s/sbuild/services/*/operation.json\n"
                "ConditionDirectoryNotEmpty=|!%s/sbuild/services\n"
                "After=multi-user.target\n",
                store, store);
    add_service(&text, program, "--recover", store);
    sb_buf_adds(&text, "\n[Install]\nWantedBy=multi-user.target\n");
    if (sb_unitfiles_put(node, BOOT_UNIT, text.data, err) < 0)
        return -1;
    return sb_unitfiles_enable(node, BOOT_UNIT, text.data, err);
}

static int write_watch_unit(const struct sb_node *node, const char *program, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    sb_buf_adds(&text, "[Unit]\nDescription=Finish or undo what sbuild does to %i, should it be "
                       "killed\n");
    add_service(&text, program, "%i --recover", sb_store_path(node->store));
    return sb_unitfiles_put(node, WATCH_UNIT, text.data, err);
}

/* Services come and go under locks of their own; the units are there for all of them. */
static int lock_units(const struct sb_node *node, struct sb_error *err) {
    return sb_lock_take(sb_store_private_fd(node->store), "keys/recover", SB_LOCK_EXCLUSIVE, err);
}

int sb_recover_units(const struct sb_node *node, struct sb_error *err) {
    sb_autofree char *program = sb_own_program(err);
    sb_autoclose int lock = program ? lock_units(node, err) : -1;
    if (lock < 0 || write_watch_unit(node, program, err) < 0)
        return -1;
    return write_boot_unit(node, program, err);
}

/* There is one pair for a machine, of the store that services were installed from last. */
static bool are_of_this_store(const struct sb_node *node) {
    sb_autofree char *path = sb_path_join(sb_node_units(node), BOOT_UNIT);
    sb_autobuf struct sb_buf text = {0}, store = {0};
    sb_buf_adds(&store, "--store");
    sb_unit_add_word(&store, sb_store_path(node->store));
    return sb_file_read(AT_FDCWD, path, UNIT_LIMIT, &text, NULL) == 0 &&
           strstr(sb_buf_text(&text), store.data);
}

int sb_recover_no_units(const struct sb_node *node, struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    sb_autoclose int lock = lock_units(node, err);
    if (lock < 0 || sb_node_services(node, &names, err) < 0)
        return -1;
    if (names.n > 0 || !are_of_this_store(node))
        return 0;
    if (sb_unitfiles_drop(node, WATCH_UNIT, err) < 0 ||
        sb_unitfiles_disable(node, BOOT_UNIT, err) < 0)
        return -1;
    return sb_unitfiles_drop(node, BOOT_UNIT, err); /* last: it says whose they are */
}

/* Started anew: one that still runs for the operation before may be about to end. */
void sb_recover_watch(const struct sb_node_service *service) {
    sb_autofree char *unit = sb_format(WATCH_INSTANCE, service->name);
    struct sb_error own = {0};
    if (service->node->mends)
        return;
    if (sb_recover_units(service->node, &own) < 0 || sb_systemd_begin("restart", unit, &own) < 0)
        sb_node_say(service->node, "%s: nobody watches over this: %.500s", service->name,
                    own.message);
}

int sb_recover_begin(const struct sb_node_service *service, const struct sb_operation *operation,
                     struct sb_error *err) {
    sb_recover_watch(service);
    return sb_operation_save(service, operation, err);
}

/* ---- putting in order ---- */

static bool unfinished(const struct sb_node *node, const char *name) {
    sb_autofree char *path = sb_format("services/%s/operation.json", name);
    return sb_path_exists(sb_store_private_fd(node->store), path);
}

void sb_recover_unwatch(const struct sb_node_service *service) {
    sb_autofree char *unit = sb_format(WATCH_INSTANCE, service->name);
    struct sb_error ignored = {0};
    if (!service->node->mends && !unfinished(service->node, service->name))
        sb_systemd_do("stop", unit, &ignored);
}

/* An installation that is undone may have been the first, too. */
static int put_in_order(struct sb_node_service *service, struct sb_error *err) {
    enum sb_operation_kind kind;
    const struct sb_node *node = service->node;
    int rc = sb_switch_recover(service, &kind, err);
    sb_node_service_close(service);
    return rc == 0 ? sb_recover_no_units(node, err) : rc;
}

/* Who has the lock may have put nothing on record yet: before something was seen there, only a free
 * lock says that there is nothing to do. Off the record an uninstallation has yet to take away the
 * units of recovery, before which it may be killed as well. */
int sb_recover(const struct sb_node *node, const char *name, struct sb_error *err) {
    struct sb_node_service *service;
    for (bool seen = false;;) {
        struct sb_error own = {0};
        bool now = unfinished(node, name);
        if (seen && !now)
            return sb_recover_no_units(node, err);
        seen = now;
        if (sb_node_service_try(node, name, &service, &own) == 0)
            return put_in_order(service, err);
        if (own.code == SB_E_NOT_FOUND)
            return sb_recover_no_units(node, err);
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
    return rc < 0 ? rc : sb_recover_no_units(node, err);
}
