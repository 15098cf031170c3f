#include "deploy/node/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/sparse.h"
#include "base/text.h"
#include "base/tree.h"
#include "layers/entry.h"
#include "layers/room.h"
#include "sandbox/inroot.h"

#define MARGIN (16u << 20) /* that the disk keeps */
#define ENTRY  4096u       /* what one takes at most that has no content */
/* The one that is being made: no volume's name begins so. */
#define TEMPORARY "~"

/* ---- what the image has there ---- */

struct owner {
    uint32_t uid, gid;
};

struct copy {
    int to;
    const struct owner *owner;
    struct sb_map files; /* those of several names: 1 + where in paths the first is */
    struct sb_strings paths;
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

static int copy_file(int from, int to, const char *name, const struct stat *st,
                     const struct owner *owner, struct sb_error *err) {
    sb_autoclose int in = openat(from, name, SB_FILE_FLAGS | O_NOFOLLOW);
    sb_autoclose int out =
        in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return sb_fail_errno(err, SB_E_IO, "copying");
    return sb_sparse_copy(in, out, (uint64_t)st->st_size, err) < 0 ? -1
                                                                   : settle(out, st, owner, err);
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

/* Of a file that has several names; 0 the first time. */
static uint64_t *find_file(struct sb_map *files, const struct stat *st) {
    const struct {
        dev_t device;
        ino_t inode;
    } key = {st->st_dev, st->st_ino};
    return sb_map_put_n(files, (const char *)&key, sizeof key);
}

/* A file of several names is one in the volume, too: it could have as many as there are files. */
static int copy_name(struct copy *copy, const struct sb_tree_entry *entry, int to,
                     const struct stat *st, struct sb_error *err) {
    uint64_t *first = st->st_nlink > 1 ? find_file(&copy->files, st) : NULL;
    if (first && *first) {
        const char *path = copy->paths.v[*first - 1];
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        sb_autofree char *parent = sb_path_dirname(path);
        sb_autoclose int dir = sb_directory_beneath(copy->to, parent);
        if (dir >= 0 && linkat(dir, name, to, entry->name, 0) == 0)
            return 0;
        if (dir < 0 || errno != EMLINK)
            return sb_fail_errno(err, SB_E_IO, "linking to %s", sb_text_shown(path).text);
    }
    if (first) {
        sb_strings_add(&copy->paths, entry->path);
        *first = copy->paths.n;
    }
    return copy_file(entry->dir, to, entry->name, st, copy->owner, err);
}

/* A directory's attributes come after what is in it, which changes its times. */
static int copy_entry(void *self, const struct sb_tree_entry *entry, struct sb_error *err) {
    struct copy *copy = self;
    struct stat st;
    if (fstatat(entry->dir, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "copying %s", sb_text_shown(entry->path).text);
    sb_autofree char *parent = sb_path_dirname(entry->path);
    sb_autoclose int to = sb_directory_beneath(copy->to, parent);
    if (to < 0)
        return sb_fail_errno(err, SB_E_IO, "copying %s", sb_text_shown(entry->path).text);
    int rc = 0;
    if (S_ISDIR(st.st_mode) && mkdirat(to, entry->name, 0700) < 0)
        rc = sb_fail_errno(err, SB_E_IO, "copying a directory");
    else if (S_ISREG(st.st_mode))
        rc = copy_name(copy, entry, to, &st, err);
    else if (S_ISLNK(st.st_mode))
        rc = copy_link(entry->dir, to, entry->name, &st, copy->owner, err);
    return rc < 0 ? sb_error_context(err, "%s", sb_text_shown(entry->path).text) : 0;
}

static int settle_directory(void *self, const struct sb_tree_entry *entry, struct sb_error *err) {
    const struct copy *copy = self;
    struct stat st;
    sb_autoclose int to = sb_directory_beneath(copy->to, entry->path);
    if (to < 0 || fstatat(entry->dir, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "copying %s", sb_text_shown(entry->path).text);
    return settle(to, &st, copy->owner, err);
}

static int copy_below(int from, int to, const struct owner *owner, struct sb_error *err) {
    struct copy copy = {.to = to, .owner = owner};
    int rc = sb_tree_walk(from, ".", copy_entry, settle_directory, &copy, err);
    sb_map_free(&copy.files);
    sb_strings_free(&copy.paths);
    return rc;
}

/* ---- the directories ---- */

/* -1 without an error where the image has none. */
static int open_image(int root, const char *path, struct sb_error *err) {
    int fd = sb_inroot_open(root, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
        sb_fail_errno(err, SB_E_IO, "reading %s in the root", path);
    return fd;
}

/* What the image has there, or else an empty directory. */
static int fill(int root, const char *path, int to, const struct owner *owner,
                struct sb_error *err) {
    struct stat st = {.st_mode = S_IFDIR | 0755};
    sb_autoclose int from = open_image(root, path, err);
    if (from < 0 && err->code)
        return -1;
    if (from >= 0 && (fstat(from, &st) < 0 || copy_below(from, to, owner, err) < 0))
        return err->code ? -1 : sb_fail_errno(err, SB_E_IO, "reading %s in the root", path);
    return settle(to, &st, owner, err);
}

static int make(int root, const char *path, int parent, const char *name, const struct owner *owner,
                struct sb_error *err) {
    if (mkdirat(parent, TEMPORARY, 0700) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating a directory");
    sb_autoclose int dir = sb_directory_open(parent, TEMPORARY, err);
    if (dir < 0 || fill(root, path, dir, owner, err) < 0) {
        sb_tree_remove(parent, TEMPORARY, NULL);
        return -1;
    }
    if (syncfs(dir) < 0 || renameat(parent, TEMPORARY, parent, name) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating a directory");
    return sb_directory_sync(parent, err);
}

/* ---- room for them ---- */

struct measure {
    uint64_t bytes, entries;
    struct sb_map files;
};

static int measure_entry(void *self, const struct sb_tree_entry *entry, struct sb_error *err) {
    struct measure *m = self;
    struct stat st;
    if (fstatat(entry->dir, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", sb_text_shown(entry->path).text);
    if (S_ISREG(st.st_mode) && st.st_nlink > 1 && (*find_file(&m->files, &st))++)
        return 0;
    m->entries++;
    m->bytes += S_ISREG(st.st_mode) ? (uint64_t)st.st_blocks * 512 : ENTRY;
    return 0;
}

/* Of those that are missing; all, before the first is made. */
static int measure_all(const struct sb_description *d, int root, int parent, struct measure *m,
                       struct sb_error *err) {
    int rc = 0;
    for (size_t i = 0; i < d->volumes.n && rc == 0; i++) {
        sb_autofree char *name = sb_volume_name(d->volumes.v[i]);
        if (sb_path_exists(parent, name))
            continue;
        sb_autoclose int from = open_image(root, d->volumes.v[i], err);
        if (from >= 0)
            rc = sb_tree_walk(from, ".", measure_entry, NULL, m, err);
        else if (err->code)
            rc = -1;
        sb_map_free(&m->files);
        m->files = (struct sb_map){0};
    }
    return rc;
}

/* The file system is the host's, where others write as well: it isn't filled to its end. */
static int check_room(const struct sb_description *d, int root, int parent, struct sb_error *err) {
    struct measure m = {0};
    struct statvfs fs;
    if (measure_all(d, root, parent, &m, err) < 0)
        return -1;
    if (m.entries == 0 || fstatvfs(parent, &fs) < 0)
        return 0;
    uint64_t available = (uint64_t)fs.f_bavail * fs.f_frsize;
    bool inodes = fs.f_files > 0 && fs.f_favail < m.entries;
    if (available >= m.bytes + MARGIN && !inodes)
        return 0;
    sb_autofree char *room = sb_room_text(parent);
    sb_fail(err, SB_E_NO_SPACE,
            "volumes of %s need %s and %" PRIu64 " inodes for what its image has in them, and %s",
            d->name, sb_text_size(m.bytes + MARGIN).text, m.entries, room);
    return sb_error_hint(err,
                         "free some space there, or give " SB_VOLUMES " a file system of its own");
}

int sb_volumes_make(const struct sb_description *d, int root, uint32_t uid, uint32_t gid,
                    const char *top, struct sb_error *err) {
    const struct owner owner = {uid, gid};
    sb_autofree char *own = sb_format("%s/%s", top, d->name);
    sb_autofree char *begun = sb_format("%s/" TEMPORARY, own);
    /* What was killed in the middle is begun anew, and its room given back first; also when what
     * comes after it has none. */
    if (sb_tree_remove(AT_FDCWD, begun, err) < 0)
        return -1;
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
    if (check_room(d, root, parent, err) < 0)
        return -1;
    for (size_t i = 0; i < d->volumes.n; i++) {
        sb_autofree char *name = sb_volume_name(d->volumes.v[i]);
        if (!sb_path_exists(parent, name) &&
            make(root, d->volumes.v[i], parent, name, &owner, err) < 0)
            return sb_error_context(err, "the volume %s", d->volumes.v[i]);
    }
    return 0;
}
