#include "deploy/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/tree.h"
#include "layers/entry.h"
#include "sandbox/inroot.h"

#define PIECE (1u << 20)

/* No path of a description has a "~". */
static char *name_of(const char *path) {
    char *name = sb_strdup(path + 1);
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '~';
    return name;
}

char *sb_volume_path(const char *service, const char *path) {
    sb_autofree char *name = name_of(path);
    return sb_format(SB_VOLUMES "/%s/%s", service, name);
}

/* ---- what the image has there ---- */

struct owner {
    uint32_t uid, gid;
};

struct copy {
    int to;
    const struct owner *owner;
};

enum { DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW };

/* Files, directories and symlinks. Nothing here may be setuid or a device: the directory is on the
 * host, where no mount option takes their power away. */
static int settle(int fd, const struct stat *st, const struct owner *owner, struct sb_error *err) {
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    bool root = owner->uid == 0;
    if (fchown(fd, root ? st->st_uid : owner->uid, root ? st->st_gid : owner->gid) < 0 ||
        fchmod(fd, st->st_mode & (S_ISDIR(st->st_mode) ? 01777 : 0777)) < 0 ||
        futimens(fd, times) < 0)
        return sb_fail_errno(err, SB_E_IO, "copying attributes");
    return 0;
}

static int copy_bytes(int from, int to, struct sb_error *err) {
    sb_autofree char *piece = sb_alloc(PIECE);
    for (;;) {
        ssize_t n = read(from, piece, PIECE);
        if (n < 0 && errno != EINTR)
            return sb_fail_errno(err, SB_E_IO, "reading");
        if (n == 0)
            return 0;
        if (n > 0 && sb_fd_write(to, piece, (size_t)n, "a volume", err) < 0)
            return -1;
    }
}

static int copy_file(int from, int to, const char *name, const struct stat *st,
                     const struct owner *owner, struct sb_error *err) {
    sb_autoclose int in = openat(from, name, SB_FILE_FLAGS | O_NOFOLLOW);
    sb_autoclose int out =
        in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return sb_fail_errno(err, SB_E_IO, "copying");
    return copy_bytes(in, out, err) < 0 ? -1 : settle(out, st, owner, err);
}

static int copy_link(int from, int to, const char *name, const struct stat *st,
                     const struct owner *owner, struct sb_error *err) {
    char target[SB_PATH_LIMIT];
    ssize_t n = readlinkat(from, name, target, sizeof target - 1);
    bool root = owner->uid == 0;
    if (n >= 0)
        target[n] = '\0';
    if (n < 0 || symlinkat(target, to, name) < 0 ||
        fchownat(to, name, root ? st->st_uid : owner->uid, root ? st->st_gid : owner->gid,
                 AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "copying a symlink");
    return 0;
}

/* A directory's attributes come after what is in it, which changes its times. */
static int copy_entry(void *self, const struct sb_tree_entry *entry, struct sb_error *err) {
    const struct copy *copy = self;
    struct stat st;
    if (fstatat(entry->dir, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "copying %s", sb_text_shown(entry->path).text);
    sb_autofree char *parent = sb_path_dirname(entry->path);
    sb_autoclose int to = sb_open_beneath(copy->to, parent, DIRECTORY, SB_BENEATH_NO_LINKS);
    if (to < 0)
        return sb_fail_errno(err, SB_E_IO, "copying %s", sb_text_shown(entry->path).text);
    int rc = 0;
    if (S_ISDIR(st.st_mode) && mkdirat(to, entry->name, 0700) < 0)
        rc = sb_fail_errno(err, SB_E_IO, "copying a directory");
    else if (S_ISREG(st.st_mode))
        rc = copy_file(entry->dir, to, entry->name, &st, copy->owner, err);
    else if (S_ISLNK(st.st_mode))
        rc = copy_link(entry->dir, to, entry->name, &st, copy->owner, err);
    return rc < 0 ? sb_error_context(err, "%s", sb_text_shown(entry->path).text) : 0;
}

static int settle_directory(void *self, const struct sb_tree_entry *entry, struct sb_error *err) {
    const struct copy *copy = self;
    struct stat st;
    sb_autoclose int to = sb_open_beneath(copy->to, entry->path, DIRECTORY, SB_BENEATH_NO_LINKS);
    if (to < 0 || fstatat(entry->dir, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "copying %s", sb_text_shown(entry->path).text);
    return settle(to, &st, copy->owner, err);
}

static int copy_below(int from, int to, const struct owner *owner, struct sb_error *err) {
    struct copy copy = {to, owner};
    return sb_tree_walk(from, ".", copy_entry, settle_directory, &copy, err);
}

/* ---- the directories ---- */

/* What the image has there, or else an empty directory. */
static int fill(int root, const char *path, int to, const struct owner *owner,
                struct sb_error *err) {
    struct stat st = {.st_mode = S_IFDIR | 0755};
    sb_autoclose int from = sb_inroot_open(root, path, O_RDONLY | O_DIRECTORY);
    if (from < 0 && errno != ENOENT && errno != ENOTDIR)
        return sb_fail_errno(err, SB_E_IO, "reading %s in the root", path);
    if (from >= 0 && (fstat(from, &st) < 0 || copy_below(from, to, owner, err) < 0))
        return err->code ? -1 : sb_fail_errno(err, SB_E_IO, "reading %s in the root", path);
    return settle(to, &st, owner, err);
}

static int make(int root, const char *path, int parent, const char *name, const struct owner *owner,
                struct sb_error *err) {
    sb_autofree char *temporary = sb_format(SB_TMP_PREFIX "%s", name);
    if (sb_tree_remove(parent, temporary, err) < 0)
        return -1;
    if (mkdirat(parent, temporary, 0700) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating a directory");
    sb_autoclose int dir = sb_directory_open(parent, temporary, err);
    if (dir < 0 || fill(root, path, dir, owner, err) < 0) {
        sb_tree_remove(parent, temporary, NULL);
        return -1;
    }
    if (syncfs(dir) < 0 || renameat(parent, temporary, parent, name) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating a directory");
    return sb_directory_sync(parent, err);
}

int sb_volumes_make(const struct sb_description *d, int root, uint32_t uid, uint32_t gid,
                    const char *top, struct sb_error *err) {
    const struct owner owner = {uid, gid};
    sb_autofree char *own = sb_format("%s/%s", top, d->name);
    if (d->volumes.n == 0)
        return 0;
    /* Not even other users of the host come to them: systemd shows them to the service. */
    if (sb_directory_make(AT_FDCWD, own, 0700, err) < 0)
        return -1;
    sb_autoclose int parent = sb_directory_open(AT_FDCWD, own, err);
    if (parent < 0)
        return -1;
    if (fchmod(parent, 0700) < 0 || chmod(top, 0700) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", own);
    for (size_t i = 0; i < d->volumes.n; i++) {
        sb_autofree char *name = name_of(d->volumes.v[i]);
        if (!sb_path_exists(parent, name) &&
            make(root, d->volumes.v[i], parent, name, &owner, err) < 0)
            return sb_error_context(err, "the volume %s", d->volumes.v[i]);
    }
    return 0;
}
