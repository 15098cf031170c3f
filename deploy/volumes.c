#include "deploy/volumes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "builder/inroot.h"
#include "layers/entry.h"

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

static int copy_below(int from, int to, const struct owner *owner, struct sb_error *err);

static int copy_directory(int from, int to, const char *name, const struct stat *st,
                          const struct owner *owner, struct sb_error *err) {
    if (mkdirat(to, name, 0700) < 0)
        return sb_fail_errno(err, SB_E_IO, "copying a directory");
    sb_autoclose int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    sb_autoclose int out = sb_directory_open(to, name, err);
    if (out < 0)
        return -1;
    if (in < 0)
        return sb_fail_errno(err, SB_E_IO, "copying a directory");
    return copy_below(in, out, owner, err) < 0 ? -1 : settle(out, st, owner, err);
}

static int copy_entry(int from, int to, const char *name, const struct owner *owner,
                      struct sb_error *err) {
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "copying");
    return S_ISDIR(st.st_mode)   ? copy_directory(from, to, name, &st, owner, err)
           : S_ISREG(st.st_mode) ? copy_file(from, to, name, &st, owner, err)
           : S_ISLNK(st.st_mode) ? copy_link(from, to, name, &st, owner, err)
                                 : 0;
}

static int copy_below(int from, int to, const struct owner *owner, struct sb_error *err) {
    int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_close_descriptor(&fd);
        return sb_fail_errno(err, SB_E_IO, "reading a directory");
    }
    for (struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            copy_entry(from, to, e->d_name, owner, err) < 0)
            return sb_error_context(err, "%s", e->d_name);
    return 0;
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
