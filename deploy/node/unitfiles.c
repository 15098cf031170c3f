#include "deploy/node/unitfiles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "deploy/host/systemd.h"

/* ---- files in the directory of units ---- */

static int open_units(const struct sb_node *node, struct sb_error *err) {
    int fd = sb_directory_open(AT_FDCWD, sb_node_units(node), err);
    return fd < 0 ? sb_error_context(err, "the directory of unit files") : fd;
}

static int cannot_write(const struct sb_node *node, const char *name, struct sb_error *err) {
    int code = errno;
    sb_fail_errno(err, SB_E_IO, "writing %s/%s", sb_node_units(node), name);
    if (code == EROFS)
        sb_error_hint(err,
                      "systemd's unit files must be writable: make %s a file system of its "
                      "own, or an overlay, on hosts whose /etc is read-only",
                      sb_node_units(node));
    return -1;
}

/* The temporary has a fixed name: what a killed process left goes, whoever comes next. */
int sb_unitfiles_put(const struct sb_node *node, const char *name, const char *text,
                     struct sb_error *err) {
    sb_autoclose int dir = open_units(node, err);
    if (dir < 0)
        return -1;
    sb_autobuf struct sb_buf old = {0};
    sb_autofree char *temporary = sb_format(".sbuild-%s", name);
    unlinkat(dir, temporary, 0); /* may be a symlink to a unit */
    if (sb_file_read(dir, name, SB_UNIT_TEXT_LIMIT, &old, NULL) == 0 &&
        !strcmp(sb_buf_text(&old), text))
        return sb_directory_sync(dir, err); /* who wrote it may have been killed before that */
    sb_autoclose int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return cannot_write(node, name, err);
    sb_autofree char *path = sb_path_join(sb_node_units(node), name);
    int rc = sb_fd_write(fd, text, strlen(text), path, err);
    if (rc == 0 &&
        (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || renameat(dir, temporary, dir, name) < 0))
        rc = cannot_write(node, name, err);
    if (rc < 0)
        unlinkat(dir, temporary, 0);
    return rc < 0 ? rc : sb_directory_sync(dir, err);
}

void sb_unitfiles_tidy(const struct sb_node *node, const char *name) {
    sb_autoclose int dir = open_units(node, NULL);
    sb_autofree char *temporary = sb_format(".sbuild-%s", name);
    if (dir >= 0)
        unlinkat(dir, temporary, 0);
}

int sb_unitfiles_drop(const struct sb_node *node, const char *name, struct sb_error *err) {
    sb_autoclose int dir = open_units(node, err);
    if (dir < 0)
        return -1;
    sb_autofree char *temporary = sb_format(".sbuild-%s", name);
    unlinkat(dir, temporary, 0);
    if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        return cannot_write(node, name, err);
    return sb_directory_sync(dir, err);
}

/* ---- starting at boot ---- */

/* "multi-user.target" of a line WantedBy=; the caller's. */
static char *wanted_by(const char *text) {
    static const char key[] = "\nWantedBy=";
    const char *line = strstr(text, key);
    if (!line)
        return NULL;
    line += strlen(key);
    return sb_strndup(line, strcspn(line, " \n"));
}

int sb_unitfiles_enable(const struct sb_node *node, const char *name, const char *text,
                        struct sb_error *err) {
    sb_autofree char *target = wanted_by(text);
    if (!target || strchr(target, '/'))
        return 0;
    sb_autofree char *wants = sb_format("%s.wants", target);
    sb_autofree char *link = sb_format("%s/%s", wants, name), *to = sb_format("../%s", name);
    sb_autoclose int dir = open_units(node, err);
    if (dir < 0 || sb_directory_make(dir, wants, 0755, err) < 0)
        return -1;
    if (symlinkat(to, dir, link) < 0 && errno != EEXIST)
        return cannot_write(node, link, err);
    sb_autoclose int made = sb_directory_open(dir, wants, err);
    return made < 0 ? -1 : sb_directory_sync(made, err);
}

int sb_unitfiles_disable(const struct sb_node *node, const char *name, struct sb_error *err) {
    static const char *const targets[] = {"multi-user.target", "timers.target", NULL};
    sb_autoclose int dir = open_units(node, err);
    if (dir < 0)
        return -1;
    for (size_t i = 0; targets[i]; i++) {
        sb_autofree char *link = sb_format("%s.wants/%s", targets[i], name);
        if (unlinkat(dir, link, 0) < 0 && errno != ENOENT)
            return cannot_write(node, link, err);
    }
    return 0;
}

/* ---- those of a generation ---- */

static int kept_directory(const struct sb_node_service *service, uint64_t number) {
    sb_autofree char *path = sb_format("%" PRIu64 "/units", number);
    return openat(service->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int sb_unitfiles_keep(const struct sb_node_service *service, uint64_t number,
                      const struct sb_units *units, struct sb_error *err) {
    sb_autofree char *path = sb_format("%" PRIu64 "/units", number);
    if (sb_directory_make(service->fd, path, 0755, err) < 0)
        return -1;
    sb_autoclose int dir = kept_directory(service, number);
    if (dir < 0)
        return sb_fail_errno(err, SB_E_IO, "%s/%s", service->path, path);
    for (size_t i = 0; i < units->n; i++)
        if (sb_file_write(dir, units->v[i].name, units->v[i].text, strlen(units->v[i].text), 0644,
                          err) < 0)
            return -1;
    return 0;
}

static int read_kept(const struct sb_node_service *service, uint64_t number, const char *name,
                     struct sb_buf *out, struct sb_error *err) {
    sb_autofree char *path = sb_format("%" PRIu64 "/units/%s", number, name);
    return sb_file_read(service->fd, path, SB_UNIT_TEXT_LIMIT, out, err);
}

int sb_unitfiles_read(const struct sb_node_service *service, uint64_t number,
                      enum sb_unit_kind kind, struct sb_buf *out, struct sb_error *err) {
    sb_autofree char *name = kind == SB_UNIT_MOUNT   ? sb_unit_mount_name(service->name, number)
                             : kind == SB_UNIT_TIMER ? sb_format("%s.timer", service->name)
                                                     : sb_strdup(service->unit);
    return read_kept(service, number, name, out, err);
}

/* RequiresMountsFor= is the service's directory in the store, where that lay. */
bool sb_unitfiles_fit(const struct sb_node_service *service, uint64_t number) {
    static const char key[] = "\nRequiresMountsFor=";
    sb_autofree char *name = sb_unit_mount_name(service->name, number);
    sb_autobuf struct sb_buf text = {0};
    struct stat there, here;
    if (read_kept(service, number, name, &text, NULL) < 0)
        return true; /* it has no root of its own */
    const char *line = strstr(sb_buf_text(&text), key);
    if (!line)
        return true;
    line += strlen(key);
    sb_autobuf struct sb_buf path = {0};
    for (; *line && *line != '\n'; line++) {
        sb_buf_addc(&path, *line);
        line += *line == '%' && line[1] == '%' ? 1 : 0;
    }
    return stat(sb_buf_text(&path), &there) == 0 && fstat(service->fd, &here) == 0 &&
           there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

int sb_unitfiles_mount(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err) {
    sb_autofree char *name = sb_unit_mount_name(service->name, number);
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    if (read_kept(service, number, name, &text, &own) < 0) {
        if (own.code == SB_E_NOT_FOUND)
            return 0;
        *err = own;
        return -1;
    }
    if (sb_unitfiles_put(service->node, name, sb_buf_text(&text), err) < 0)
        return -1;
    int64_t began = time(NULL);
    if (sb_systemd_do("start", name, err) == 0)
        return 0;
    /* One of that name which failed before is kept by systemd as it was then. */
    struct sb_error again = {0};
    if (sb_systemd_do("reset-failed", name, &again) == 0 && sb_systemd_reload(&again) == 0) {
        sb_error_clear(err);
        if (sb_systemd_do("start", name, err) == 0)
            return 0;
    }
    sb_autobuf struct sb_buf journal = {0};
    sb_systemd_journal(name, began, 5, &journal);
    sb_error_context(err, "mounting the root of generation %" PRIu64, number);
    if (journal.len)
        sb_error_hint(err, "its journal says: %.400s", sb_buf_text(&journal));
    return -1;
}

/* By the kernel itself: systemd hears of it, and asking it would take longer than all the rest.
 * What still uses the root keeps it until it ends. */
int sb_unitfiles_unmount(const struct sb_node_service *service, uint64_t number,
                         struct sb_error *err) {
    sb_autofree char *name = sb_unit_mount_name(service->name, number);
    sb_autofree char *point = sb_unit_root_path(service->name, number);
    if (umount2(point, UMOUNT_NOFOLLOW) < 0 && errno == EBUSY &&
        umount2(point, UMOUNT_NOFOLLOW | MNT_DETACH) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "unmounting %s", point);
    rmdir(point); /* systemd made it */
    return sb_unitfiles_drop(service->node, name, err);
}

static int make_users(const char *path, struct sb_error *err) {
    const char *const argv[] = {"systemd-sysusers", path, NULL};
    sb_autobuf struct sb_buf out = {0}, said = {0};
    int status = sb_process_capture(argv, NULL, 1u << 16, &out, &said, err);
    if (status <= 0)
        return status;
    return sb_fail(err, SB_E_FAILED, "systemd-sysusers %s failed: %.500s", path,
                   sb_buf_text(&said));
}

/* The host's databases may have been written anew since, by who knew nothing of them. */
static bool has_account(const char *database, const char *name) {
    sb_autobuf struct sb_buf text = {0};
    sb_autofree char *line = sb_format("\n%s:", name);
    sb_buf_addc(&text, '\n');
    return sb_file_read(AT_FDCWD, database, SB_UNIT_TEXT_LIMIT, &text, NULL) == 0 &&
           strstr(text.data, line);
}

/* Those that lines "u NAME …" and "g NAME …" of a text are about. */
static bool has_accounts(const char *text) {
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        bool user = !strncmp(line, "u ", 2);
        if (!user && strncmp(line, "g ", 2) != 0)
            continue;
        sb_autofree char *name = sb_strndup(line + 2, strcspn(line + 2, " \n"));
        if (!has_account(user ? "/etc/passwd" : "/etc/group", name))
            return false;
    }
    return true;
}

/* Users of the image that the host doesn't know: systemd runs nobody else. The file in /etc comes
 * after them, from that of the generation, whatever was killed meanwhile. */
static int place_users(const char *kept, const char *name, const char *text, struct sb_error *err) {
    sb_autofree char *path = sb_format("/etc/sysusers.d/%s", name);
    sb_autobuf struct sb_buf old = {0};
    if (sb_file_read(AT_FDCWD, path, SB_UNIT_TEXT_LIMIT, &old, NULL) == 0 &&
        !strcmp(sb_buf_text(&old), text) && has_accounts(text))
        return 0;
    if (make_users(kept, err) < 0 || sb_directory_make(AT_FDCWD, "/etc/sysusers.d", 0755, err) < 0)
        return -1;
    return sb_file_write(AT_FDCWD, path, text, strlen(text), 0644, err);
}

static bool ends_in(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n > m && !strcmp(name + n - m, end);
}

int sb_unitfiles_users(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err) {
    int fd = kept_directory(service, number);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_close_descriptor(&fd);
        return sb_fail_errno(err, SB_E_IO, "%s/%" PRIu64 "/units", service->path, number);
    }
    for (struct dirent *e; (e = readdir(dir));) {
        sb_autobuf struct sb_buf text = {0};
        if (!ends_in(e->d_name, ".conf"))
            continue;
        sb_autofree char *kept =
            sb_format("%s/%" PRIu64 "/units/%s", service->path, number, e->d_name);
        if (read_kept(service, number, e->d_name, &text, err) < 0 ||
            place_users(kept, e->d_name, sb_buf_text(&text), err) < 0)
            return -1;
    }
    return 0;
}

static int place_one(const struct sb_node_service *service, uint64_t number, const char *name,
                     struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (read_kept(service, number, name, &text, err) < 0)
        return -1;
    if (sb_unitfiles_put(service->node, name, sb_buf_text(&text), err) < 0)
        return -1;
    return sb_unitfiles_enable(service->node, name, sb_buf_text(&text), err);
}

static bool has_timer(const struct sb_node_service *service, uint64_t number) {
    sb_autofree char *path = sb_format("%" PRIu64 "/units/%s.timer", number, service->name);
    return sb_path_exists(service->fd, path);
}

int sb_unitfiles_timer(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err) {
    sb_autofree char *timer = sb_format("%s.timer", service->name);
    if (has_timer(service, number))
        return place_one(service, number, timer, err);
    return sb_unitfiles_disable(service->node, timer, err) < 0
               ? -1
               : sb_unitfiles_drop(service->node, timer, err);
}

int sb_unitfiles_place(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err) {
    if (sb_unitfiles_users(service, number, err) < 0 ||
        sb_unitfiles_timer(service, number, err) < 0)
        return -1;
    return place_one(service, number, service->unit, err);
}

/* ---- two units with one name ---- */

static int link_to(const struct sb_node *node, int dir, const char *to, const char *name,
                   struct sb_error *err) {
    sb_autofree char *temporary = sb_format(".sbuild-%s", name);
    unlinkat(dir, temporary, 0);
    if (symlinkat(to, dir, temporary) < 0 || renameat(dir, temporary, dir, name) < 0)
        return cannot_write(node, name, err);
    return sb_directory_sync(dir, err);
}

int sb_unitfiles_alias(const struct sb_node_service *service, const char *unit,
                       struct sb_error *err) {
    const struct sb_node *node = service->node;
    sb_autoclose int dir = open_units(node, err);
    sb_autobuf struct sb_buf text = {0};
    if (dir < 0 || sb_file_read(dir, unit, SB_UNIT_TEXT_LIMIT, &text, err) < 0 ||
        link_to(node, dir, unit, service->unit, err) < 0)
        return -1;
    return sb_unitfiles_enable(node, service->unit, sb_buf_text(&text), err);
}

int sb_unitfiles_remove(const struct sb_node_service *service, struct sb_error *err) {
    sb_autofree char *timer = sb_format("%s.timer", service->name);
    const char *const names[] = {timer, service->unit, NULL};
    for (size_t i = 0; names[i]; i++)
        if (sb_unitfiles_disable(service->node, names[i], err) < 0 ||
            sb_unitfiles_drop(service->node, names[i], err) < 0)
            return -1;
    return 0;
}

char *sb_unitfiles_main(const struct sb_node_service *service, uint64_t number) {
    return has_timer(service, number) ? sb_format("%s.timer", service->name)
                                      : sb_strdup(service->unit);
}
