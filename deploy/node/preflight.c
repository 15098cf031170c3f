#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/host/envfile.h"
#include "deploy/host/ports.h"
#include "deploy/host/systemd.h"
#include "deploy/node/claim.h"
#include "deploy/node/gpus.h"
#include "deploy/node/health.h"
#include "deploy/node/hostdirs.h"
#include "deploy/node/placement.h"
#include "deploy/node/prepare.h"
#include "deploy/units.h"
#include "layers/collect.h"
#include "layers/trees.h"

#define SPACE_MARGIN (16u << 20) /* for everything small */
#define UNPACKED     4           /* times its blob's size, for a layer that doesn't say */

/* ---- the machine ---- */

/* Asks the kernel itself, which may load the module now. Whatever else it says (an old kernel has
 * no such call) is for the mount to find out. */
static int check_overlay(struct sb_error *err) {
#ifdef SYS_fsopen
    sb_autoclose int fd = (int)syscall(SYS_fsopen, "overlay", 1 /* FSOPEN_CLOEXEC */);
    if (fd < 0 && errno == ENODEV) {
        sb_fail(err, SB_E_FAILED,
                "this kernel has no overlayfs, which services' roots are made of");
        return sb_error_hint(err, "load it (modprobe overlay), or bundle with root: host");
    }
    if (fd < 0 && (errno == EPERM || errno == EACCES)) {
        sb_fail_errno(err, SB_E_FAILED,
                      "root may not mount overlayfs here, which services' roots are made of");
        return sb_error_hint(err, "this seems to be a container: give it CAP_SYS_ADMIN and a "
                                  "seccomp profile that allows mounts, or bundle with root: host");
    }
#endif
    (void)err;
    return 0;
}

static int check_units_writable(const struct sb_node_service *service, struct sb_error *err) {
    const char *directory = sb_node_units(service->node);
    if (access(directory, W_OK) == 0)
        return 0;
    int code = errno;
    sb_fail_errno(err, SB_E_FAILED, "unit files can't be written to %s", directory);
    if (code == EROFS)
        sb_error_hint(err, "make it a writable file system of its own (a bind mount, an overlay) "
                           "on hosts whose /etc is read-only");
    return -1;
}

/* ---- the service ---- */

/* Whether another user of this host can come to it, beneath the directories, and read it. */
static bool is_open(const char *const *directories, const char *path) {
    struct stat st;
    for (; *directories; directories++)
        if (stat(*directories, &st) == 0 && !(st.st_mode & 01))
            return false;
    return stat(path, &st) == 0 && (st.st_mode & 04);
}

static int check_secrets(const struct sb_node_service *service, const struct sb_description *d,
                         struct sb_error *err) {
    sb_autobuf struct sb_buf missing = {0};
    sb_autofree char *own = sb_path_join(SB_UNIT_SECRETS, service->name);
    const char *const above[] = {"/etc/sbuild", SB_UNIT_SECRETS, own, NULL};
    for (size_t i = 0; i < d->secrets.n; i++) {
        sb_autofree char *path =
            sb_format("%s/%s/%s", SB_UNIT_SECRETS, service->name, d->secrets.v[i]);
        if (access(path, R_OK) < 0)
            sb_buf_addf(&missing, "%s%s", missing.len ? ", " : "", path);
        else if (is_open(above, path))
            sb_node_say(service->node,
                        "%s: every user of this host can read the secret %s (chmod 600)",
                        service->name, path);
    }
    if (missing.len == 0)
        return 0;
    sb_fail(err, SB_E_FAILED, "secrets of %s are missing on this node: %s", service->name,
            sb_buf_text(&missing));
    return sb_error_hint(err, "write each to its file, readable by root alone");
}

static int check_variables(const struct sb_node_service *service, struct sb_error *err) {
    static const char *const above[] = {"/etc/sbuild", SB_UNIT_ENV_FILES, NULL};
    sb_autofree char *path = sb_format("%s/%s.env", SB_UNIT_ENV_FILES, service->name);
    if (is_open(above, path))
        sb_node_say(service->node,
                    "%s: every user of this host can read the variables in %s (chmod 600)",
                    service->name, path);
    return sb_envfile_check(path, err);
}

/* systemd would say so when the service before has been stopped already. */
static int check_required(const struct sb_node_service *service, const struct sb_description *d,
                          struct sb_error *err) {
    for (size_t i = 0; i < d->requires.n; i++) {
        struct sb_unit_status status;
        if (sb_systemd_status(d->requires.v[i], &status, err) < 0)
            return -1;
        if (strcmp(status.load, "not-found") != 0)
            continue;
        sb_fail(err, SB_E_FAILED, "%s requires %s, which this node does not have", service->name,
                d->requires.v[i]);
        return sb_error_hint(err, "install that first");
    }
    return 0;
}

static int compare_ports(const struct sb_node_service *service, const struct sb_description *d,
                         const struct sb_node_service *other, uint64_t generation,
                         struct sb_error *err) {
    struct sb_description theirs;
    const uint16_t ports[] = {d->port, d->spare_port};
    if (generation == 0 || sb_generation_description(other, generation, &theirs, NULL) < 0)
        return 0;
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++)
        if (ports[i] && (ports[i] == theirs.port || ports[i] == theirs.spare_port))
            rc = sb_fail(err, SB_E_FAILED, "port %u of %s is the port of the service %s here",
                         ports[i], service->name, other->name);
    sb_description_free(&theirs);
    return rc;
}

/* Of the generation that runs, and of the one that is about to. */
static int compare_ports_of(const struct sb_node_service *service, const struct sb_description *d,
                            const struct sb_node_service *other, struct sb_error *err) {
    struct sb_operation operation;
    uint64_t current;
    if (sb_node_current(other, &current, NULL) == 0 &&
        compare_ports(service, d, other, current, err) < 0)
        return -1;
    return sb_operation_load(other, &operation, NULL) == 0
               ? compare_ports(service, d, other, operation.to, err)
               : 0;
}

/* Of all its generations: one that is gone back to points its file again, and all go with it. */
static int compare_upstreams(const struct sb_node_service *service, const struct sb_description *d,
                             const struct sb_node_service *other, struct sb_error *err) {
    struct sb_generation_list list;
    if (!d->upstream || sb_generations(other, &list, NULL) < 0)
        return 0;
    int rc = 0;
    for (size_t i = 0; i < list.n && rc == 0; i++) {
        struct sb_description theirs;
        if (sb_generation_description(other, list.v[i].number, &theirs, NULL) < 0)
            continue;
        if (theirs.upstream && !strcmp(d->upstream, theirs.upstream))
            rc = sb_fail(err, SB_E_FAILED,
                         "the upstream file %s of %s is that of the service %s (generation "
                         "%" PRIu64 ")",
                         d->upstream, service->name, other->name, list.v[i].number);
        sb_description_free(&theirs);
    }
    sb_generation_list_free(&list);
    return rc;
}

static int check_other(const struct sb_node_service *service, const struct sb_description *d,
                       const char *name, struct sb_error *err) {
    struct sb_node_service *other;
    if (!strcmp(name, service->name) || sb_node_service_look(service->node, name, &other, NULL) < 0)
        return 0;
    int rc = compare_ports_of(service, d, other, err);
    if (rc == 0)
        rc = compare_upstreams(service, d, other, err);
    sb_node_service_close(other);
    return rc;
}

int sb_prepare_check_others(const struct sb_node_service *service, const struct sb_description *d,
                            struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    if (d->port == 0)
        return 0;
    if (sb_node_services(service->node, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.n; i++)
        if (check_other(service, d, names.v[i], err) < 0)
            return -1;
    return 0;
}

/* Also on a port that it never told of, as one that was bundled from an image alone. */
static bool has_port(const struct sb_node_service *service, uint16_t port) {
    struct sb_node_slot current;
    return sb_node_slot(service, &current, NULL) == 0 && current.generation > 0 &&
           sb_port_is_of(port, current.unit);
}

/* A program that sbuild knows nothing of would be taken for the service, as long as that starts.
 * With blue-green it is the new one's port that is looked at, once that is known. */
static int check_answers(const struct sb_node_service *service, const struct sb_description *d,
                         struct sb_error *err) {
    uint16_t port = d->health_tcp ? d->health_tcp : d->port;
    if ((!d->health_http && !d->health_tcp) || d->strategy != SB_STRATEGY_RECREATE ||
        !sb_health_answers(port) || has_port(service, port))
        return 0;
    sb_fail(err, SB_E_FAILED, "another program of this host has port %u of %s", port,
            service->name);
    return sb_error_hint(err, "stop it first (ss -ltnp shows it), or bundle with another port");
}

int sb_prepare_check_again(const struct sb_node_service *service, const struct sb_description *d,
                           struct sb_error *err) {
    return check_secrets(service, d, err) < 0 || check_variables(service, err) < 0 ||
                   sb_hostdirs_check(service, d, err) < 0 || check_required(service, d, err) < 0 ||
                   sb_prepare_check_others(service, d, err) < 0 ||
                   check_answers(service, d, err) < 0
               ? -1
               : 0;
}

int sb_prepare_check(const struct sb_node_service *service, const struct sb_description *d,
                     uint64_t number, int *out_systemd_version, struct sb_error *err) {
    if (sb_systemd_check(out_systemd_version, err) < 0 || check_units_writable(service, err) < 0 ||
        sb_claim_check_units(service, d, err) < 0 ||
        sb_claim_check_directories(service, d, err) < 0 ||
        sb_prepare_check_again(service, d, err) < 0)
        return -1;
    uint64_t gpus;
    if (sb_gpus_choose(service, d, 0, &gpus, err) < 0)
        return -1;
    if (d->root == SB_ROOT_HOST)
        return 0;
    return check_overlay(err) < 0 ? -1 : sb_node_placement_check(service, d, number, err);
}

/* ---- space ---- */

static uint64_t add(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t needed(struct sb_store *store, const struct sb_described_layer *described,
                       enum sb_service_root root) {
    const struct sb_layer *layer = &described->layer;
    uint64_t size = layer->descriptor.size, bytes = 0;
    if (root == SB_ROOT_HOST ? !described->application : sb_tree_has(store, &layer->diff_id))
        return 0;
    if (!sb_blob_has(store, &layer->descriptor.digest, size))
        bytes = size;
    if (layer->tar_size)
        return add(bytes, layer->tar_size);
    return size > UINT64_MAX / UNPACKED ? UINT64_MAX : add(bytes, size * UNPACKED);
}

struct space {
    uint64_t needed, free;
};
static int look_at_space(const struct sb_node_service *service, const struct sb_description *d,
                         struct space *out, struct sb_error *err) {
    struct sb_store *store = service->node->store;
    struct statvfs fs;
    *out = (struct space){.needed = SPACE_MARGIN};
    for (size_t i = 0; i < d->layer_count; i++)
        out->needed = add(out->needed, needed(store, &d->layers[i], d->root));
    if (fstatvfs(sb_store_fd(store), &fs) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", sb_store_path(store));
    out->free = (uint64_t)fs.f_bavail * fs.f_frsize;
    return 0;
}

int sb_prepare_space(const struct sb_node_service *service, const struct sb_description *d,
                     struct sb_error *err) {
    struct space space;
    if (look_at_space(service, d, &space, err) < 0)
        return -1;
    if (space.free >= space.needed)
        return 0;
    sb_fail(err, SB_E_NO_SPACE,
            "%s: %" PRIu64 " bytes are missing in %s: it needs %" PRIu64 ", and %" PRIu64
            " are free",
            service->name, space.needed - space.free, sb_store_path(service->node->store),
            space.needed, space.free);
    return sb_error_hint(err, "nothing was changed; sbuild prune may give room");
}

void sb_prepare_lacking(const struct sb_node_service *service, const struct sb_description *d,
                        struct sb_strings *out) {
    struct sb_store *store = service->node->store;
    for (size_t i = 0; i < d->layer_count; i++) {
        const struct sb_layer *layer = &d->layers[i].layer;
        if (!sb_tree_has(store, &layer->diff_id))
            sb_strings_take(out, sb_tree_path(&layer->diff_id));
        if (!sb_blob_has(store, &layer->descriptor.digest, layer->descriptor.size))
            sb_strings_take(out, sb_blob_path(&layer->descriptor.digest));
    }
}

void sb_prepare_give_back(const struct sb_node_service *service, const struct sb_description *d,
                          const struct sb_strings *lacking, struct sb_error *err) {
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    struct sb_collect_report report;
    struct sb_error ignored = {0};
    struct space space;
    options.only = lacking;
    options.keep_tagged = true;
    sb_store_collect(service->node->store, &options, &report, &ignored);
    sb_collect_report_free(&report);
    if (look_at_space(service, d, &space, &ignored) < 0)
        return;
    sb_error_context(err, "%s: the disk is full", service->name);
    sb_error_hint(err,
                  "what was fetched was removed again; in %s %" PRIu64
                  " bytes are free now, and it says that it needs %" PRIu64
                  "; sbuild prune may give room",
                  sb_store_path(service->node->store), space.free, space.needed);
}
