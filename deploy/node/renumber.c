#include "deploy/node/renumber.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "deploy/host/accounts.h"
#include "layers/closed.h"
#include "layers/trees.h"

#define METACOPY "trusted.overlay.metacopy"

struct work {
    int root, top; /* what is below, and the layer that is made */
    const struct sb_user *user;
    uint32_t id;
};

/* ---- who may do what ---- */

/* Of r, w and x, what the image's user may do with it. */
static mode_t rights_of(const struct sb_user *user, const struct stat *st) {
    if (user->uid == 0) /* whom the kernel lets do all, but run what nobody runs */
        return S_ISDIR(st->st_mode) || (st->st_mode & 0111) ? 07 : 06;
    if (st->st_uid == user->uid)
        return st->st_mode >> 6 & 07;
    bool member = st->st_gid == user->gid;
    for (size_t i = 0; i < user->group_count; i++)
        member = member || st->st_gid == user->groups[i];
    return member ? st->st_mode >> 3 & 07 : st->st_mode & 07;
}

/* Reading and searching: nobody writes to a root. */
static bool is_lost(mode_t rights, const struct stat *st) {
    return (rights & ~st->st_mode & 05) != 0;
}

/* Nothing is setuid for another number than its own. */
static mode_t mode_for(mode_t rights, const struct stat *st) {
    return (st->st_mode & (S_ISDIR(st->st_mode) ? 01077 : 077)) | (mode_t)(rights << 6);
}

/* ---- the layer ---- */

static int open_beneath(int dir, const char *path, unsigned flags) {
    return sb_open_beneath(dir, path, flags | O_NOFOLLOW, SB_BENEATH_NO_LINKS);
}

/* False for what is not there: an upper layer removed it, or has a symlink on the way. */
static bool look(const struct work *w, const char *path, struct stat *out) {
    sb_autoclose int fd = open_beneath(w->root, path, O_PATH);
    return fd >= 0 && fstat(fd, out) == 0;
}

static int settle(int fd, const struct work *w, const struct stat *st, struct sb_error *err) {
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    mode_t rights = rights_of(w->user, st);
    bool lost = is_lost(rights, st);
    if (fchown(fd, lost ? w->id : st->st_uid, lost ? w->id : st->st_gid) < 0 ||
        fchmod(fd, lost ? mode_for(rights, st) : st->st_mode & 01777) < 0 ||
        futimens(fd, times) < 0)
        return sb_fail_errno(err, SB_E_IO, "setting an owner");
    return 0;
}

/* All directories of a path in the layer, as they are below, or as the service's. */
static int make_parents(const struct work *w, const char *path, struct sb_error *err) {
    size_t there = strlen(path); /* what is there of it: as a rule all but the last */
    while (there > 0) {
        sb_autofree char *parent = sb_strndup(path, there);
        if (path[there] == '/' && sb_path_exists(w->top, parent))
            break;
        there--;
    }
    for (const char *p = path + there + (there > 0); (p = strchr(p, '/')); p++) {
        sb_autofree char *parent = sb_strndup(path, (size_t)(p - path));
        struct stat st;
        if (!look(w, parent, &st) || !S_ISDIR(st.st_mode) || mkdirat(w->top, parent, 0700) < 0)
            return sb_fail_errno(err, SB_E_IO, "creating %s", sb_text_shown(parent).text);
        sb_autoclose int fd = sb_directory_open(w->top, parent, err);
        if (fd < 0 || settle(fd, w, &st, err) < 0)
            return -1;
    }
    return 0;
}

static int make_file(const struct work *w, const char *path, const struct stat *st,
                     struct sb_error *err) {
    sb_autoclose int fd = openat(w->top, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return 0; /* /etc/passwd */
    if (fd < 0 || ftruncate(fd, st->st_size) < 0 || fsetxattr(fd, METACOPY, "", 0, 0) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating it");
    return settle(fd, w, st, err);
}

static int make_entry(void *data, const char *path, struct sb_error *err) {
    const struct work *w = data;
    struct stat st;
    if (!look(w, path, &st) || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) ||
        !is_lost(rights_of(w->user, &st), &st))
        return 0;
    sb_autofree char *whole = S_ISDIR(st.st_mode) ? sb_format("%s/", path) : sb_strdup(path);
    if (make_parents(w, whole, err) < 0 ||
        (S_ISREG(st.st_mode) && make_file(w, path, &st, err) < 0))
        return sb_error_context(err, "%s", sb_text_shown(path).text);
    return sb_interrupt_check(err);
}

/* ---- the image's databases ---- */

static int make_database(const struct work *w, const char *name, bool groups,
                         struct sb_error *err) {
    struct stat st;
    bool there;
    sb_autofree char *path = sb_inroot_resolve(w->root, name, &there, err);
    if (!path)
        return -1;
    sb_autoclose int in = there ? open_beneath(w->root, path + 1, O_RDONLY | O_NONBLOCK) : -1;
    sb_autobuf struct sb_buf text = {0}, changed = {0};
    if (in < 0 || fstat(in, &st) < 0 || !S_ISREG(st.st_mode) ||
        sb_fd_read(in, SB_ACCOUNTS_LIMIT, &text, NULL) < 0 ||
        !sb_accounts_renumber(sb_buf_text(&text), groups ? w->user->gid : w->user->uid, w->id,
                              groups, &changed))
        return 0; /* numbers work without names, as in the image */
    if (make_parents(w, path + 1, err) < 0)
        return -1;
    sb_autoclose int out = openat(w->top, path + 1, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s", name);
    return sb_fd_write(out, changed.data, changed.len, name, err) < 0 ? -1
                                                                      : settle(out, w, &st, err);
}

static int fill(const struct sb_node_service *service, const struct sb_description *d,
                const struct work *w, struct sb_error *err) {
    if (make_database(w, "/etc/passwd", false, err) < 0 ||
        make_database(w, "/etc/group", true, err) < 0)
        return -1;
    for (size_t i = 0; i < d->layer_count; i++)
        if (sb_closed_each(service->node->store, &d->layers[i].layer.diff_id, make_entry,
                           (void *)(uintptr_t)w, err) < 0)
            return -1;
    return syncfs(w->top) < 0 ? sb_fail_errno(err, SB_E_IO, "writing its top layer") : 0;
}

int sb_renumber_make(const struct sb_node_service *service, const struct sb_description *d,
                     uint64_t number, int root, const struct sb_user *user, uint32_t id, char **out,
                     struct sb_error *err) {
    sb_autofree char *name = sb_format("o%u", id), *temporary = sb_format(SB_TMP_PREFIX "%s", name);
    sb_autofree char *path = sb_format("%s/%" PRIu64, service->path, number);
    sb_autoclose int dir = sb_directory_open(AT_FDCWD, path, err);
    *out = NULL;
    if (dir < 0)
        return -1;
    if (!sb_path_exists(dir, name)) {
        if (sb_tree_remove(dir, temporary, err) < 0)
            return -1;
        if (mkdirat(dir, temporary, 0755) < 0)
            return sb_fail_errno(err, SB_E_IO, "creating %s/%s", path, temporary);
        sb_autoclose int top = sb_directory_open(dir, temporary, err);
        const struct work work = {.root = root, .top = top, .user = user, .id = id};
        if (top < 0 || fchmod(top, 0755) < 0 || fill(service, d, &work, err) < 0 ||
            renameat(dir, temporary, dir, name) < 0) {
            sb_tree_remove(dir, temporary, NULL);
            return err->code ? -1 : sb_fail_errno(err, SB_E_IO, "creating %s/%s", path, name);
        }
        if (sb_directory_sync(dir, err) < 0)
            return -1;
    }
    *out = sb_format("%s/%s", path, name);
    return 0;
}

/* ---- in place ---- */

static int renumber_entry(void *data, const char *path, struct sb_error *err) {
    const struct work *w = data;
    struct stat st;
    sb_autoclose int fd = open_beneath(w->root, path, O_RDONLY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", sb_text_shown(path).text);
    return settle(fd, w, &st, err);
}

int sb_renumber_tree(int dir, const struct sb_user *user, uint32_t id, struct sb_error *err) {
    struct work work = {.root = dir, .user = user, .id = id};
    return sb_closed_walk(dir, renumber_entry, &work, err);
}
