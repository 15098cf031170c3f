#include "deploy/node/owners.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/tree.h"
#include "deploy/host/ids.h"
#include "deploy/node/volumes.h"
#include "deploy/units.h"

/* ---- all below a directory ---- */

struct owner {
    uint32_t uid, gid;
    struct sb_map names; /* how many a file of several has here */
};

/* Opened, so that what is looked at is what is given; with -1 and no error it is gone by now. What
 * is mounted there is not the service's own, and may be anything of this host. */
static int look(const struct sb_tree_entry *entry, struct statx *out, struct sb_error *err) {
    *out = (struct statx){0};
    sb_autoclose int fd = openat(entry->dir, entry->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return -1;
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, out) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", sb_text_shown(entry->name).text);
    if (!(out->stx_attributes & STATX_ATTR_MOUNT_ROOT))
        return sb_steal_fd(&fd);
    sb_fail(err, SB_E_FAILED, "another file system is mounted on %s",
            sb_text_shown(entry->path).text);
    return sb_error_hint(err, "unmount it until the service runs, and chown what is in it");
}

static bool is_its(const struct statx *st, const struct owner *to) {
    return st->stx_uid == to->uid && st->stx_gid == to->gid;
}

static uint64_t *find_names(struct owner *to, const struct statx *st) {
    const uint64_t key[] = {st->stx_dev_major, st->stx_dev_minor, st->stx_ino};
    return sb_map_put_n(&to->names, (const char *)key, sizeof key);
}

/* A directory's links are those in it. */
static bool has_names(const struct statx *st) {
    return !S_ISDIR(st->stx_mode) && st->stx_nlink > 1;
}

/* Another name of a file may be anywhere on the file system: whoever made this one may have had no
 * more right to the file than to do that. */
static bool is_elsewhere(struct owner *to, const struct statx *st) {
    return has_names(st) && *find_names(to, st) < st->stx_nlink;
}

static int count_names(void *self, const struct sb_tree_entry *entry, struct sb_error *err) {
    struct statx st;
    sb_autoclose int fd = look(entry, &st, err);
    if (fd >= 0 && has_names(&st))
        ++*find_names(self, &st);
    return err->code ? -1 : 0;
}

static int check_names(void *self, const struct sb_tree_entry *entry, struct sb_error *err) {
    struct statx st;
    sb_autoclose int fd = look(entry, &st, err);
    if (fd < 0)
        return err->code ? -1 : 0;
    if (is_its(&st, self) || !is_elsewhere(self, &st))
        return 0;
    sb_fail(err, SB_E_FAILED, "%s has a name outside of this directory as well",
            sb_text_shown(entry->path).text);
    return sb_error_hint(err,
                         "its owner is to be changed, which would be that of the other's: remove "
                         "one of them (find -xdev -inum %llu finds all), or copy the file",
                         (unsigned long long)st.stx_ino);
}

/* What has no names elsewhere at first. */
static int check_links(int top, struct owner *to, struct sb_error *err) {
    if (sb_tree_walk(top, ".", count_names, NULL, to, err) < 0)
        return -1;
    return to->names.n ? sb_tree_walk(top, ".", check_names, NULL, to, err) : 0;
}

static int give(void *self, const struct sb_tree_entry *entry, struct sb_error *err) {
    struct owner *to = self;
    struct statx st;
    sb_autoclose int fd = look(entry, &st, err);
    if (fd < 0)
        return err->code ? -1 : 0;
    if (S_ISBLK(st.stx_mode) || S_ISCHR(st.stx_mode))
        return 0; /* what root left there would be a disk that another user may read */
    /* One that has come to be linked elsewhere meanwhile is passed over. */
    if (is_its(&st, to) || is_elsewhere(to, &st) ||
        fchownat(fd, "", to->uid, to->gid, AT_EMPTY_PATH) == 0)
        return 0;
    return sb_fail_errno(err, SB_E_IO, "changing the owner of %s", sb_text_shown(entry->name).text);
}

int sb_owners_give(int top, uint32_t uid, uint32_t gid, struct sb_error *err) {
    struct owner to = {uid, gid, {0}};
    int rc = 0;
    if (uid && (check_links(top, &to, err) < 0 || sb_tree_walk(top, ".", give, NULL, &to, err) < 0))
        rc = -1;
    sb_map_free(&to.names);
    if (rc == 0 && fchown(top, uid, gid) < 0)
        rc = sb_fail_errno(err, SB_E_IO, "changing the owner of a directory");
    return rc;
}

static int check_owner(void *self, const struct sb_tree_entry *entry, struct sb_error *err) {
    const struct owner *to = self;
    struct statx st;
    sb_autoclose int fd = look(entry, &st, err);
    if (fd < 0)
        return err->code ? -1 : 0;
    if (st.stx_uid == 0 || st.stx_uid == to->uid)
        return 0;
    sb_fail(err, SB_E_FAILED, "%s is of the user %u", sb_text_shown(entry->name).text, st.stx_uid);
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
    sb_autofree char *coloured =
        sb_generation_coloured_unit(service, number, d->port, sb_colours[0]);
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
            sb_strings_take(out, sb_service_directory_path(d->name, (enum sb_service_directory)i));
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

/* What would be refused when the service is stopped already is refused before. */
static int check_data(const char *path, bool was_root, uint32_t id, struct sb_error *err) {
    struct owner to = {id, id, {0}};
    struct stat st;
    sb_autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || fstat(dir, &st) < 0)
        return 0;
    int rc = was_root ? sb_tree_walk(dir, ".", check_owner, NULL, &to, err) : 0;
    if (rc == 0 && st.st_uid != id)
        rc = check_links(dir, &to, err);
    sb_map_free(&to.names);
    return rc < 0 ? sb_error_context(err, "%s", path) : 0;
}

int sb_owners_check(const struct sb_node_service *service, const struct sb_description *d,
                    uint32_t id, struct sb_error *err) {
    struct sb_node_slot current;
    struct sb_description before;
    sb_autostrings struct sb_strings data = {0};
    uint32_t uid, gid;
    if (sb_node_slot(service, &current, NULL) < 0 || current.generation == 0 ||
        sb_generation_description(service, current.generation, &before, NULL) < 0)
        return 0;
    bool was_root = find_ids(service, current.generation, &before, &uid, &gid) && uid == 0;
    sb_description_free(&before);
    find_data(d, &data);
    for (size_t i = 0; i < data.n; i++)
        if (check_data(data.v[i], was_root, id, err) < 0)
            return -1;
    return 0;
}
