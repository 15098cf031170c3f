#include "deploy/owners.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "deploy/green.h"
#include "deploy/ids.h"
#include "deploy/units.h"
#include "deploy/volumes.h"

/* ---- all below a directory ---- */

static int open_directory(int top, const char *path) {
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    return (int)syscall(SYS_openat2, top, *path ? path : ".", &how, sizeof how);
}

/* Of what is in a directory; name is relative to dir. */
typedef int visit(void *data, int dir, const char *name, const struct stat *st,
                  struct sb_error *err);

static int visit_entries(int top, const char *path, visit *each, void *data,
                         struct sb_strings *pending, struct sb_error *err) {
    int fd = open_directory(top, path);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_fail_errno(err, SB_E_IO, "%s", sb_text_shown(path).text);
        sb_close_descriptor(&fd);
        return -1;
    }
    for (const struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return sb_fail_errno(err, SB_E_IO, "%s", sb_text_shown(e->d_name).text);
        if (each(data, dirfd(dir), e->d_name, &st, err) < 0)
            return sb_error_context(err, "%s", *path ? sb_text_shown(path).text : ".");
        if (S_ISDIR(st.st_mode))
            sb_strings_addf(pending, "%s%s%s", path, *path ? "/" : "", e->d_name);
    }
    return sb_interrupt_check(err);
}

static int visit_all(int top, visit *each, void *data, struct sb_error *err) {
    sb_autostrings struct sb_strings pending = {0};
    int rc = visit_entries(top, "", each, data, &pending, err);
    while (rc == 0 && pending.n > 0) {
        sb_autofree char *path = pending.v[--pending.n];
        pending.v[pending.n] = NULL;
        rc = visit_entries(top, path, each, data, &pending, err);
    }
    return rc;
}

struct owner {
    uint32_t uid, gid;
};

static int give(void *data, int dir, const char *name, const struct stat *st,
                struct sb_error *err) {
    const struct owner *to = data;
    if ((st->st_uid == to->uid && st->st_gid == to->gid) ||
        fchownat(dir, name, to->uid, to->gid, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    return sb_fail_errno(err, SB_E_IO, "changing the owner of %s", sb_text_shown(name).text);
}

int sb_owners_give(int top, uint32_t uid, uint32_t gid, struct sb_error *err) {
    struct owner to = {uid, gid};
    if (uid && visit_all(top, give, &to, err) < 0)
        return -1;
    return fchown(top, uid, gid) < 0
               ? sb_fail_errno(err, SB_E_IO, "changing the owner of a directory")
               : 0;
}

static int check_owner(void *data, int dir, const char *name, const struct stat *st,
                       struct sb_error *err) {
    const struct owner *to = data;
    (void)dir;
    if (st->st_uid == 0 || st->st_uid == to->uid)
        return 0;
    sb_fail(err, SB_E_FAILED, "%s is of the user %u", sb_text_shown(name).text, st->st_uid);
    return sb_error_hint(err,
                         "its image ran as root and has other users besides, who would lose "
                         "their data: bundle it with harden: {own_ids: false}, or chown all of "
                         "them to root first, if one user can have them");
}

/* ---- of a generation ---- */

/* By the text of its units, in whatever colour. False when it has none. */
static bool find_ids(const struct sb_node_service *service, uint64_t number,
                     const struct sb_description *d, uint32_t *out_uid, uint32_t *out_gid) {
    sb_autobuf struct sb_buf text = {0};
    sb_autofree char *plain = sb_format("%" PRIu64 "/units/%s", number, service->unit);
    sb_autofree char *coloured = sb_green_kept(service, number, d->port, sb_colours[0]);
    if (sb_file_read(service->fd, plain, SB_UNIT_TEXT_LIMIT, &text, NULL) < 0 &&
        sb_file_read(service->fd, coloured, SB_UNIT_TEXT_LIMIT, &text, NULL) < 0)
        return false;
    sb_unit_ids_parse(sb_buf_text(&text), out_uid, out_gid);
    return true;
}

bool sb_owners_fit(const struct sb_node_service *service, uint64_t number,
                   const struct sb_description *d) {
    uint32_t uid, gid;
    if (!sb_description_own_ids(d))
        return true;
    return find_ids(service, number, d, &uid, &gid) && uid && uid == gid &&
           uid == sb_ids_known(service->name);
}

static void find_data(const struct sb_description *d, struct sb_strings *out) {
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++)
        if (d->directories[i])
            sb_strings_take(out, sb_unit_directory_path(d->name, (enum sb_service_directory)i));
    for (size_t i = 0; i < d->volumes.n && d->root == SB_ROOT_LAYERS; i++)
        sb_strings_take(out, sb_volume_path(d->name, d->volumes.v[i]));
}

static bool is_anothers(const struct sb_strings *paths, uint32_t uid) {
    struct stat st;
    for (size_t i = 0; i < paths->n; i++)
        if (lstat(paths->v[i], &st) == 0 && st.st_uid != uid)
            return true;
    return false;
}

static int give_all(const struct sb_strings *paths, uint32_t uid, uint32_t gid,
                    struct sb_error *err) {
    for (size_t i = 0; i < paths->n; i++) {
        struct stat st;
        sb_autoclose int dir = open(paths->v[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0 && errno == ENOENT)
            continue;
        if (dir < 0 || fstat(dir, &st) < 0)
            return sb_fail_errno(err, SB_E_IO, "%s", paths->v[i]);
        if (st.st_uid != uid && sb_owners_give(dir, uid, gid, err) < 0)
            return sb_error_context(err, "%s", paths->v[i]);
    }
    return 0;
}

bool sb_owners_differ(const struct sb_node_service *service, uint64_t number) {
    struct sb_description d;
    sb_autostrings struct sb_strings data = {0};
    uint32_t uid, gid;
    if (number == 0 || sb_generation_description(service, number, &d, NULL) < 0)
        return false;
    find_data(&d, &data);
    bool differ = find_ids(service, number, &d, &uid, &gid) && is_anothers(&data, uid);
    sb_description_free(&d);
    return differ;
}

int sb_owners_change(const struct sb_node_service *service, uint64_t number, struct sb_error *err) {
    struct sb_description d;
    sb_autostrings struct sb_strings data = {0};
    uint32_t uid = 0, gid = 0;
    if (sb_generation_description(service, number, &d, err) < 0)
        return -1;
    find_data(&d, &data);
    bool known = find_ids(service, number, &d, &uid, &gid);
    sb_description_free(&d);
    return known ? give_all(&data, uid, gid, err) : 0;
}

int sb_owners_check(const struct sb_node_service *service, const struct sb_description *d,
                    uint32_t id, struct sb_error *err) {
    struct sb_node_slot current;
    struct sb_description before;
    sb_autostrings struct sb_strings data = {0};
    struct owner to = {id, id};
    uint32_t uid, gid;
    if (sb_node_slot(service, &current, NULL) < 0 || current.generation == 0 ||
        sb_generation_description(service, current.generation, &before, NULL) < 0)
        return 0;
    bool was_root = find_ids(service, current.generation, &before, &uid, &gid) && uid == 0;
    sb_description_free(&before);
    find_data(d, &data);
    for (size_t i = 0; was_root && i < data.n; i++) {
        sb_autoclose int dir = open(data.v[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir >= 0 && visit_all(dir, check_owner, &to, err) < 0)
            return sb_error_context(err, "%s", data.v[i]);
    }
    return 0;
}
