#include "deploy/node/watch.h"

#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/process.h"
#include "deploy/host/systemd.h"
#include "deploy/node/unitfiles.h"

#define BOOT_UNIT      "sbuild-recover.service"
#define WATCH_UNIT     "sbuild-recover@.service"
#define DRIVER_UNIT    "sbuild-driver@.service"
#define WATCH_INSTANCE "sbuild-recover@%s.service"
#define UNIT_LIMIT     (256u << 10)

/* ---- the units ---- */

/* Both may have to wait for long, and systemd for neither. Only what they do is logged, not that
 * they come and go. */
static void add_service(struct sb_buf *text, const char *program, const char *arguments,
                        const char *store) {
    sb_buf_addf(text, "RequiresMountsFor=%s\n\n[Service]\nType=exec\nExecStart=", store);
    sb_unit_quote(program, false, text);
    sb_buf_addf(text, " status %s --store ", arguments);
    sb_unit_quote(store, true, text);
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

/* Before each start of a service with GPUs; the instance is its root. A driver that can't be
 * brought is no reason not to start. */
static int write_driver_unit(const struct sb_node *node, const char *program,
                             struct sb_error *err) {
    const char *store = sb_store_path(node->store);
    sb_autobuf struct sb_buf text = {0};
    sb_buf_addf(&text,
                "[Unit]\nDescription=Bring the driver of this host to %%f\n"
                "RequiresMountsFor=%%f %s\n"
                "After=systemd-modules-load.service nvidia-persistenced.service\n"
                "StartLimitIntervalSec=0\n\n[Service]\nType=oneshot\nTimeoutStartSec=5min\n"
                "ExecStart=",
                store);
    sb_unit_quote(program, false, &text);
    sb_buf_adds(&text, " status %f --driver --store ");
    sb_unit_quote(store, true, &text);
    sb_buf_adds(&text, "\nStandardOutput=null\nStandardError=journal\nSyslogLevel=notice\n"
                       "LogLevelMax=notice\n");
    return sb_unitfiles_put(node, DRIVER_UNIT, text.data, err);
}

/* Services come and go under locks of their own; the units are there for all of them. */
static int lock_units(const struct sb_node *node, struct sb_error *err) {
    return sb_lock_take(sb_store_private_fd(node->store), "keys/recover", SB_LOCK_EXCLUSIVE, err);
}

int sb_watch_units(const struct sb_node *node, struct sb_error *err) {
    sb_autofree char *program = sb_process_program(err);
    sb_autoclose int lock = program ? lock_units(node, err) : -1;
    if (lock < 0 || write_watch_unit(node, program, err) < 0 ||
        write_driver_unit(node, program, err) < 0)
        return -1;
    return write_boot_unit(node, program, err);
}

static bool names_store(const struct sb_node *node, const char *unit) {
    sb_autofree char *path = sb_path_join(sb_node_units(node), unit);
    sb_autobuf struct sb_buf text = {0}, store = {0};
    sb_buf_adds(&store, "--store ");
    sb_unit_quote(sb_store_path(node->store), true, &store);
    return sb_file_read(AT_FDCWD, path, UNIT_LIMIT, &text, NULL) == 0 &&
           strstr(sb_buf_text(&text), store.data);
}

/* There is one pair for a machine, of the store that services were installed from last. Who was
 * killed left one of the two. The one that a boot starts goes last, as it would see to this. */
int sb_watch_no_units(const struct sb_node *node, struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    sb_autoclose int lock = lock_units(node, err);
    if (lock < 0 || sb_node_services(node, &names, err) < 0)
        return -1;
    if (names.n > 0 || (!names_store(node, WATCH_UNIT) && !names_store(node, BOOT_UNIT)))
        return 0;
    if (sb_unitfiles_drop(node, WATCH_UNIT, err) < 0 ||
        sb_unitfiles_drop(node, DRIVER_UNIT, err) < 0 ||
        sb_unitfiles_disable(node, BOOT_UNIT, err) < 0)
        return -1;
    return sb_unitfiles_drop(node, BOOT_UNIT, err);
}

/* Started anew: one that still runs for the operation before may be about to end. */
void sb_watch_start(const struct sb_node_service *service) {
    sb_autofree char *unit = sb_format(WATCH_INSTANCE, service->name);
    struct sb_error own = {0};
    if (service->node->mends)
        return;
    if (sb_watch_units(service->node, &own) < 0 || sb_systemd_begin("restart", unit, &own) < 0)
        sb_node_say(service->node, "%s: nobody watches over this: %.500s", service->name,
                    own.message);
}

int sb_watch_operation(const struct sb_node_service *service, const struct sb_operation *operation,
                       struct sb_error *err) {
    sb_watch_start(service);
    return sb_operation_save(service, operation, err);
}

void sb_watch_end(const struct sb_node *node, const char *name) {
    sb_autofree char *unit = sb_format(WATCH_INSTANCE, name);
    struct sb_error ignored = {0};
    if (!node->mends && !sb_operation_exists(node, name))
        sb_systemd_do("stop", unit, &ignored);
}
