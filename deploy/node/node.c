#include "deploy/node/node.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/text.h"
#include "deploy/host/systemd.h"
#include "deploy/units.h"

void sb_node_say(const struct sb_node *node, const char *fmt, ...) {
    if (!node->say)
        return;
    char line[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    node->say(node->data, line);
}

const char *sb_node_units(const struct sb_node *node) {
    return node->units ? node->units : SB_SYSTEMD_UNITS;
}

int sb_node_need_root(struct sb_error *err) {
    if (geteuid() == 0)
        return 0;
    sb_fail(err, SB_E_FAILED, "services of a node are root's to change");
    return sb_error_hint(err, "run it as root, or with sudo");
}

int sb_node_lock(const struct sb_node *node, struct sb_error *err) {
    return sb_lock_take(sb_store_private_fd(node->store), "keys/node", SB_LOCK_EXCLUSIVE, err);
}

/* ---- services ---- */

static int check_name(const char *name, struct sb_error *err) {
    if (sb_service_name_valid(name))
        return 0;
    sb_fail(err, SB_E_USAGE, "%s is no name of a service", sb_text_shown(name).text);
    return sb_error_hint(err, "lower-case letters and digits, with . _ or - between them");
}

static struct sb_node_service *make(const struct sb_node *node, const char *name) {
    struct sb_node_service *service = sb_alloc(sizeof *service);
    service->node = node;
    service->name = sb_strdup(name);
    service->unit = sb_format("%s.service", name);
    service->path = sb_format("%s/sbuild/services/%s", sb_store_path(node->store), name);
    service->fd = service->lock = -1;
    return service;
}

/* Another operator, who is announced, is waited for when wait is set; else os_errno is EWOULDBLOCK.
 */
static int take_lock(struct sb_node_service *service, bool wait, struct sb_error *err) {
    int private = sb_store_private_fd(service->node->store);
    sb_autofree char *path = sb_format("keys/service-%s", service->name);
    struct sb_error busy = {0};
    service->lock = sb_lock_try(private, path, SB_LOCK_EXCLUSIVE, &busy);
    if (service->lock >= 0)
        return 0;
    if (busy.os_errno != EWOULDBLOCK || !wait) {
        *err = busy;
        return -1;
    }
    sb_node_say(service->node, "another sbuild is at work on %s: waiting for it", service->name);
    service->lock = sb_lock_take(private, path, SB_LOCK_EXCLUSIVE, err);
    return service->lock < 0 ? -1 : 0;
}

static int unknown(const char *name, struct sb_error *err) {
    sb_fail(err, SB_E_NOT_FOUND, "there is no service %s on this node", name);
    return sb_error_hint(err, "sbuild status lists those that there are");
}

static int make_directory(struct sb_node_service *service, struct sb_error *err) {
    sb_autofree char *relative = sb_format("services/%s", service->name);
    int private = sb_store_private_fd(service->node->store);
    if (sb_directory_make(private, relative, 0755, err) < 0)
        return -1;
    sb_close_descriptor(&service->fd);
    service->fd = sb_directory_open(private, relative, err);
    return service->fd < 0 ? -1 : 0;
}

int sb_node_service_open(const struct sb_node *node, const char *name, struct sb_node_service **out,
                         struct sb_error *err) {
    *out = NULL;
    if (check_name(name, err) < 0)
        return -1;
    struct sb_node_service *service = make(node, name);
    if (take_lock(service, true, err) < 0 || make_directory(service, err) < 0) {
        sb_node_service_close(service);
        return -1;
    }
    sb_generation_sweep(service);
    *out = service;
    return 0;
}

/* Looks first: a slip of the pen makes no lock. And again under the lock, as whoever had it may
 * have taken the service away. */
static int open_known(const struct sb_node *node, const char *name, bool wait,
                      struct sb_node_service **out, struct sb_error *err) {
    *out = NULL;
    if (check_name(name, err) < 0)
        return -1;
    struct sb_node_service *service = make(node, name);
    int rc = sb_path_exists(AT_FDCWD, service->path) ? 0 : unknown(name, err);
    if (rc == 0)
        rc = take_lock(service, wait, err);
    if (rc == 0) {
        service->fd = open(service->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        rc = service->fd < 0 ? unknown(name, err) : 0;
    }
    if (rc < 0) {
        sb_node_service_close(service);
        return -1;
    }
    sb_generation_sweep(service);
    *out = service;
    return 0;
}

int sb_node_service_find(const struct sb_node *node, const char *name, struct sb_node_service **out,
                         struct sb_error *err) {
    return open_known(node, name, true, out, err);
}

int sb_node_service_try(const struct sb_node *node, const char *name, struct sb_node_service **out,
                        struct sb_error *err) {
    return open_known(node, name, false, out, err);
}

int sb_node_service_look(const struct sb_node *node, const char *name, struct sb_node_service **out,
                         struct sb_error *err) {
    *out = NULL;
    if (check_name(name, err) < 0)
        return -1;
    struct sb_node_service *service = make(node, name);
    service->fd = open(service->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (service->fd >= 0) {
        *out = service;
        return 0;
    }
    sb_node_service_close(service);
    return unknown(name, err);
}

/* By one rename to where the store's dead processes are swept up. Without room for that it goes
 * when it is closed, and only then. */
int sb_node_service_forget(struct sb_node_service *service, struct sb_error *err) {
    struct sb_error ignored = {0};
    int tmp = sb_store_tmp_fd(service->node->store);
    sb_autofree char *away = sb_format("service-%s", service->name);
    if (tmp < 0 || sb_tree_remove(tmp, away, &ignored) < 0 ||
        renameat(AT_FDCWD, service->path, tmp, away) < 0)
        return sb_operation_clear(service, err);
    sb_tree_remove(tmp, away, &ignored);
    return 0;
}

int sb_node_service_anew(struct sb_node_service *service, struct sb_error *err) {
    return make_directory(service, err);
}

void sb_node_service_close(struct sb_node_service *service) {
    if (!service)
        return;
    if (service->lock >= 0 && service->fd >= 0)
        rmdir(service->path); /* if nothing is in it */
    sb_close_descriptor(&service->fd);
    sb_close_descriptor(&service->lock);
    free(service->name);
    free(service->unit);
    free(service->path);
    free(service);
}

int sb_node_services(const struct sb_node *node, struct sb_strings *out, struct sb_error *err) {
    int fd =
        openat(sb_store_private_fd(node->store), "services", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_close_descriptor(&fd);
        return errno == ENOENT ? 0 : sb_fail_errno(err, SB_E_IO, "reading the services");
    }
    for (struct dirent *e; (e = readdir(dir));)
        if (sb_service_name_valid(e->d_name))
            sb_strings_add(out, e->d_name);
    sb_strings_sort(out);
    return 0;
}

/* ---- which one is current ---- */

const char *const sb_colours[SB_COLOURS] = {"blue", "green"};

static void name_slot(const struct sb_node_service *service, const char *colour,
                      struct sb_node_slot *out) {
    sb_autofree char *unit = sb_unit_service_name(service->name, colour);
    *out = (struct sb_node_slot){.colour = colour};
    snprintf(out->unit, sizeof out->unit, "%s", unit);
}

/* The file under that name: what it is a symlink to, if it is one. */
static int read_slot(const struct sb_node_service *service, const char *name,
                     struct sb_node_slot *out, struct sb_error *err) {
    sb_autofree char *path = sb_path_join(sb_node_units(service->node), name);
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    struct sb_unit_mark mark;
    if (sb_file_read(AT_FDCWD, path, SB_UNIT_TEXT_LIMIT, &text, &own) < 0) {
        if (own.code == SB_E_NOT_FOUND)
            return 0;
        if (err)
            *err = own;
        return -1;
    }
    if (sb_unit_mark_parse(sb_buf_text(&text), &mark) && !strcmp(mark.name, service->name)) {
        out->generation = mark.generation;
        out->port = mark.port;
        return 0;
    }
    sb_fail(err, SB_E_FAILED, "%s is not a unit that sbuild wrote", path);
    return sb_error_hint(err, "install under another name with --name, or remove that unit first");
}

int sb_node_slot_of(const struct sb_node_service *service, const char *colour,
                    struct sb_node_slot *out, struct sb_error *err) {
    name_slot(service, colour, out);
    return read_slot(service, out->unit, out, err);
}

static const char *linked_colour(const struct sb_node_service *service) {
    sb_autofree char *path = sb_path_join(sb_node_units(service->node), service->unit);
    char to[4096];
    ssize_t n = readlink(path, to, sizeof to - 1);
    if (n < 0)
        return NULL;
    to[n] = '\0';
    const char *slash = strrchr(to, '/');
    for (int i = 0; i < SB_COLOURS; i++) {
        sb_autofree char *unit = sb_unit_service_name(service->name, sb_colours[i]);
        if (!strcmp(slash ? slash + 1 : to, unit))
            return sb_colours[i];
    }
    return NULL;
}

/* `systemctl disable NAME` removes the symlink, as it does with every alias: the unit is still
 * there. Another one may be, that an operation was about to make the current one. */
static int find_unlinked(const struct sb_node_service *service, struct sb_node_slot *out,
                         struct sb_error *err) {
    struct sb_operation operation;
    if (sb_operation_load(service, &operation, err) < 0)
        return -1;
    for (int i = 0; i < SB_COLOURS; i++) {
        struct sb_node_slot slot;
        if (sb_node_slot_of(service, sb_colours[i], &slot, NULL) == 0 && slot.generation &&
            slot.generation != operation.to) {
            *out = slot;
            break;
        }
    }
    return 0;
}

int sb_node_slot(const struct sb_node_service *service, struct sb_node_slot *out,
                 struct sb_error *err) {
    name_slot(service, linked_colour(service), out);
    if (read_slot(service, service->unit, out, err) < 0)
        return -1;
    return out->generation ? 0 : find_unlinked(service, out, err);
}

int sb_node_current(const struct sb_node_service *service, uint64_t *out, struct sb_error *err) {
    struct sb_node_slot slot;
    *out = 0;
    if (sb_node_slot(service, &slot, err) < 0)
        return -1;
    *out = slot.generation;
    return 0;
}

/* ---- the operation under way ---- */

static const char *operation_name(enum sb_operation_kind kind) {
    static const char *const names[] = {
#define X(value, name) [value] = name,
        SB_OPERATIONS(X)
#undef X
    };
    return names[kind];
}

int sb_node_read_json(const struct sb_node_service *service, const char *name, size_t limit,
                      json_t **out, struct sb_error *err) {
    *out = NULL;
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    if (sb_file_read(service->fd, name, limit, &text, &own) < 0) {
        if (own.code == SB_E_NOT_FOUND)
            return 0;
        if (err)
            *err = own;
        return -1;
    }
    *out = sb_json_parse(sb_buf_text(&text), text.len, err);
    return *out ? 0 : sb_error_context(err, "%s/%s", service->path, name);
}

int sb_operation_load(const struct sb_node_service *service, struct sb_operation *out,
                      struct sb_error *err) {
    *out = (struct sb_operation){0};
    sb_autojson json_t *value = NULL;
    if (sb_node_read_json(service, "operation.json", 4096, &value, err) < 0)
        return -1;
    if (!value)
        return 0;
    const char *kind = sb_json_string(value, "operation", "");
    for (int i = SB_OPERATION_INSTALL; i <= SB_OPERATION_UNINSTALL; i++)
        if (!strcmp(kind, operation_name((enum sb_operation_kind)i)))
            out->kind = (enum sb_operation_kind)i;
    out->from = (uint64_t)sb_json_integer(value, "from", 0);
    out->to = (uint64_t)sb_json_integer(value, "to", 0);
    out->wait = (uint32_t)sb_json_integer(value, "wait", 0);
    out->back = json_is_true(json_object_get(value, "back"));
    out->started = json_is_true(json_object_get(value, "started"));
    if (out->kind == SB_OPERATION_NONE)
        return sb_fail(err, SB_E_FAILED, "%s/operation.json: an operation of another sbuild",
                       service->path);
    return 0;
}

int sb_operation_save(const struct sb_node_service *service, const struct sb_operation *operation,
                      struct sb_error *err) {
    sb_autojson json_t *value =
        json_pack("{s:i, s:s, s:I, s:I, s:I, s:b, s:b}", "version", 1, "operation",
                  operation_name(operation->kind), "from", (json_int_t)operation->from, "to",
                  (json_int_t)operation->to, "wait", (json_int_t)operation->wait, "back",
                  (int)operation->back, "started", (int)operation->started);
    sb_autobuf struct sb_buf text = {0};
    sb_json_write_pretty(value, &text);
    return sb_file_write(service->fd, "operation.json", text.data, text.len, 0644, err);
}

bool sb_operation_exists(const struct sb_node *node, const char *name) {
    sb_autofree char *path = sb_format("services/%s/operation.json", name);
    return sb_path_exists(sb_store_private_fd(node->store), path);
}

int sb_operation_clear(const struct sb_node_service *service, struct sb_error *err) {
    if (unlinkat(service->fd, "operation.json", 0) < 0 && errno != ENOENT)
        return sb_fail_errno(err, SB_E_IO, "removing %s/operation.json", service->path);
    return sb_directory_sync(service->fd, err);
}
