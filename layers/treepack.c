#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "layers/entry.h"
#include "layers/trees.h"
#include "layers/xattrs.h"

/* Directories on the way down that are kept open: paths may be 2,048 directories deep, and a
 * process has 1,024 descriptors. The others are opened again, as "..", on the way back. */
#define OPEN_LEVELS 32

/* A directory being packed. */
struct level {
    int fd; /* -1 while closed */
    dev_t device;
    ino_t inode;
    struct sb_strings names; /* sorted */
    size_t next;             /* of names */
    size_t path_len;         /* bytes of its path in walk.path */
    bool clamp;              /* its mtime is to become the epoch */
};

/* The first path at which an inode with several links was met. */
struct link {
    dev_t device;
    ino_t inode;
    char *path; /* NULL: free */
};

struct walk {
    struct sb_packer *packer;
    const struct sb_tree_pack_options *options;
    struct sb_buf path; /* of the entry at hand */
    struct level *levels;
    size_t depth, cap;
    struct link *links; /* a hash table; link_cap is a power of two */
    size_t link_count, link_cap;
    struct sb_xattrs xattrs;
    char entries[65536] __attribute__((aligned(16))); /* of getdents64 */
};

/* ---- hard links ---- */

static struct link *link_slot(struct link *links, size_t cap, dev_t device, ino_t inode) {
    uint64_t hash = ((uint64_t)inode ^ (uint64_t)device << 40) * 0x9e3779b97f4a7c15u;
    for (size_t i = (size_t)(hash >> 20);; i++) {
        struct link *slot = &links[i & (cap - 1)];
        if (!slot->path || (slot->inode == inode && slot->device == device))
            return slot;
    }
}

static void grow_links(struct walk *w) {
    size_t cap = w->link_cap ? w->link_cap * 2 : 256;
    struct link *links = sb_alloc(cap * sizeof *links);
    for (size_t i = 0; i < w->link_cap; i++)
        if (w->links[i].path)
            *link_slot(links, cap, w->links[i].device, w->links[i].inode) = w->links[i];
    free(w->links);
    w->links = links;
    w->link_cap = cap;
}

/* The path that this file was packed under before; NULL the first time, which is remembered. */
static const char *earlier_link(struct walk *w, const struct stat *st) {
    if (st->st_nlink < 2)
        return NULL;
    if (w->link_count * 2 >= w->link_cap)
        grow_links(w);
    struct link *slot = link_slot(w->links, w->link_cap, st->st_dev, st->st_ino);
    if (slot->path)
        return slot->path;
    *slot = (struct link){st->st_dev, st->st_ino, sb_strdup(w->path.data)};
    w->link_count++;
    return NULL;
}

/* ---- directories ---- */

static struct level *top(struct walk *w) {
    return &w->levels[w->depth - 1];
}

static int read_names(struct walk *w, struct level *level, struct sb_error *err) {
    for (;;) {
        ssize_t n = getdents64(level->fd, w->entries, sizeof w->entries);
        if (n < 0)
            return sb_fail_errno(err, SB_E_IO, "%s: reading the directory", sb_buf_text(&w->path));
        if (n == 0)
            break;
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *e = (const struct dirent64 *)(w->entries + at);
            at += e->d_reclen;
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
                sb_strings_add(&level->names, e->d_name);
        }
    }
    sb_strings_sort(&level->names);
    return 0;
}

/* Takes over fd: the directory whose path is in w->path. */
static int push(struct walk *w, int fd, const struct stat *st, bool clamp, struct sb_error *err) {
    SB_GROW(w->levels, w->depth, w->cap);
    w->levels[w->depth++] = (struct level){.fd = fd,
                                           .device = st->st_dev,
                                           .inode = st->st_ino,
                                           .path_len = w->path.len,
                                           .clamp = clamp};
    if (w->depth > OPEN_LEVELS) {
        struct level *far = &w->levels[w->depth - 1 - OPEN_LEVELS];
        if (far->fd >= 0)
            close(sb_steal_fd(&far->fd));
    }
    return read_names(w, top(w), err);
}

static int reopen(struct level *level, int child, struct sb_error *err) {
    struct stat st;
    level->fd = openat(child, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (level->fd < 0 || fstat(level->fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "opening a directory again");
    if (st.st_dev != level->device || st.st_ino != level->inode)
        return sb_fail(err, SB_E_FAILED, "a directory was moved while it was being packed");
    return 0;
}

static int set_mtime(struct walk *w, int dirfd, const char *name, struct sb_error *err) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = w->options->epoch}};
    int failed = name ? utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) : futimens(dirfd, times);
    if (failed < 0)
        return sb_fail_errno(err, SB_E_IO, "%s: setting its modification time",
                             sb_buf_text(&w->path));
    return 0;
}

static void free_level(struct level *level) {
    sb_close_descriptor(&level->fd);
    sb_strings_free(&level->names);
}

static int pop(struct walk *w, struct sb_error *err) {
    struct level *level = top(w);
    w->path.len = level->path_len;
    w->path.data[w->path.len] = '\0';
    int failed = level->clamp ? set_mtime(w, level->fd, NULL, err) : 0;
    if (!failed && w->depth > 1 && level[-1].fd < 0)
        failed = reopen(&level[-1], level->fd, err);
    free_level(level);
    w->depth--;
    return failed;
}

/* ---- entries ---- */

static bool is_later(const struct walk *w, const struct timespec *mtime) {
    int64_t epoch = w->options->epoch;
    return mtime->tv_sec > epoch || (mtime->tv_sec == epoch && mtime->tv_nsec > 0);
}

static void describe(struct walk *w, const struct stat *st, struct sb_entry *out) {
    bool later = is_later(w, &st->st_mtim);
    bool device = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
    *out = (struct sb_entry){
        .path = w->path.data,
        .mode = st->st_mode,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
        .mtime = later ? w->options->epoch : st->st_mtim.tv_sec,
        .mtime_nsec = later ? 0 : (uint32_t)st->st_mtim.tv_nsec,
        .device_major = device ? major(st->st_rdev) : 0,
        .device_minor = device ? minor(st->st_rdev) : 0,
    };
}

static int read_xattrs(struct walk *w, int fd, const char *name, struct sb_entry *entry,
                       struct sb_error *err) {
    if (sb_xattrs_read(&w->xattrs, fd, top(w)->fd, name, w->options->overlay, entry->path, err) < 0)
        return -1;
    entry->xattrs = w->xattrs.v;
    entry->xattr_count = w->xattrs.n;
    return 0;
}

/* An empty file whose name says what lower layers lose; nothing else of it means anything. */
static int pack_mark(struct walk *w, size_t parent_len, const char *prefix, const char *name,
                     struct sb_error *err) {
    sb_autofree char *path =
        sb_format("%.*s%s%s%s", (int)parent_len, w->path.data, parent_len ? "/" : "", prefix, name);
    struct sb_entry mark = {.path = path, .mode = S_IFREG | 0600};
    return sb_packer_entry(w->packer, &mark, err);
}

static int pack_directory(struct walk *w, const char *name, const struct stat *st,
                          struct sb_entry *entry, struct sb_error *err) {
    sb_autoclose int fd = openat(top(w)->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", entry->path);
    if (read_xattrs(w, fd, name, entry, err) < 0 || sb_packer_entry(w->packer, entry, err) < 0)
        return -1;
    if (w->xattrs.opaque && pack_mark(w, w->path.len, SB_WHITEOUT_OPAQUE, "", err) < 0)
        return -1;
    return push(w, sb_steal_fd(&fd), st, is_later(w, &st->st_mtim), err);
}

/* Reading leaves no trace in the access time where that is allowed: less for the disk to write. */
static int open_file(int dirfd, const char *name) {
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(dirfd, name, flags | O_NOATIME);
    return fd < 0 && errno == EPERM ? openat(dirfd, name, flags) : fd;
}

static int pack_file(struct walk *w, const char *name, struct sb_entry *entry,
                     struct sb_error *err) {
    sb_autoclose int fd = entry->size > 0 ? open_file(top(w)->fd, name) : -1;
    if (entry->size > 0 && fd < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", entry->path);
    if (read_xattrs(w, fd, name, entry, err) < 0 || sb_packer_entry(w->packer, entry, err) < 0)
        return -1;
    return fd < 0 ? 0 : sb_packer_file(w->packer, fd, entry->path, NULL, err);
}

static int pack_symlink(struct walk *w, const char *name, const struct sb_entry *entry,
                        struct sb_error *err) {
    struct sb_entry symlink = *entry;
    char target[SB_PATH_LIMIT + 1];
    ssize_t n = readlinkat(top(w)->fd, name, target, sizeof target);
    if (n < 0)
        return sb_fail_errno(err, SB_E_IO, "%s: reading the link", entry->path);
    if ((size_t)n == sizeof target)
        return sb_fail(err, SB_E_FAILED, "%s: the link's target is longer than %d bytes",
                       entry->path, SB_PATH_LIMIT);
    target[n] = '\0';
    symlink.link = target;
    if (read_xattrs(w, -1, name, &symlink, err) < 0)
        return -1;
    return sb_packer_entry(w->packer, &symlink, err);
}

static int pack_other(struct walk *w, const char *name, struct sb_entry *entry,
                      struct sb_error *err) {
    if (read_xattrs(w, -1, name, entry, err) < 0)
        return -1;
    return sb_packer_entry(w->packer, entry, err);
}

static int pack_entry(struct walk *w, const char *name, const struct stat *st,
                      struct sb_error *err) {
    struct sb_entry entry;
    describe(w, st, &entry);
    if (S_ISDIR(st->st_mode))
        return pack_directory(w, name, st, &entry, err); /* gets its time on the way back */
    const char *earlier = earlier_link(w, st);
    int failed;
    if (earlier) {
        entry.hard_link = true;
        entry.link = earlier;
        entry.size = 0;
        failed = sb_packer_entry(w->packer, &entry, err);
    } else if (S_ISREG(st->st_mode)) {
        failed = pack_file(w, name, &entry, err);
    } else if (S_ISLNK(st->st_mode)) {
        failed = pack_symlink(w, name, &entry, err);
    } else {
        failed = pack_other(w, name, &entry, err);
    }
    if (!failed && is_later(w, &st->st_mtim))
        failed = set_mtime(w, top(w)->fd, name, err);
    return failed;
}

static int set_path(struct walk *w, const char *name, struct sb_error *err) {
    w->path.len = top(w)->path_len;
    if (w->path.len > 0)
        sb_buf_addc(&w->path, '/');
    sb_buf_adds(&w->path, name);
    if (w->path.len > SB_PATH_LIMIT)
        return sb_fail(err, SB_E_FAILED, "%.200s…: a path of more than %d bytes", w->path.data,
                       SB_PATH_LIMIT);
    return 0;
}

static int visit(struct walk *w, const char *name, struct sb_error *err) {
    const struct sb_tree_pack_options *o = w->options;
    struct stat st;
    if (set_path(w, name, err) < 0)
        return -1;
    if (o->skip && o->skip(w->path.data, o->data))
        return 0;
    if (fstatat(top(w)->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", w->path.data);
    if (S_ISSOCK(st.st_mode))
        return 0;
    if (!strncmp(name, SB_WHITEOUT_PREFIX, strlen(SB_WHITEOUT_PREFIX))) {
        sb_fail(err, SB_E_FAILED, "%s: a layer can't hold a name that begins with \"%s\"",
                w->path.data, SB_WHITEOUT_PREFIX);
        return sb_error_hint(err, "such names mean removed files in a layer; remove or rename it");
    }
    if (o->overlay && S_ISCHR(st.st_mode) && st.st_rdev == 0)
        return pack_mark(w, top(w)->path_len, SB_WHITEOUT_PREFIX, name, err);
    return pack_entry(w, name, &st, err);
}

static int push_root(struct walk *w, const char *path, struct sb_error *err) {
    struct stat st;
    sb_autoclose int fd = sb_directory_open(AT_FDCWD, path, err);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    sb_buf_adds(&w->path, "");
    if (sb_xattrs_read(&w->xattrs, fd, -1, NULL, w->options->overlay, path, err) < 0)
        return -1;
    if (w->xattrs.opaque && pack_mark(w, 0, SB_WHITEOUT_OPAQUE, "", err) < 0)
        return -1;
    return push(w, sb_steal_fd(&fd), &st, is_later(w, &st.st_mtim), err);
}

static void end(struct walk *w) {
    for (size_t i = 0; i < w->depth; i++)
        free_level(&w->levels[i]);
    for (size_t i = 0; i < w->link_cap; i++)
        free(w->links[i].path);
    free(w->levels);
    free(w->links);
    sb_xattrs_free(&w->xattrs);
    sb_buf_free(&w->path);
    free(w);
}

int sb_tree_pack(struct sb_packer *packer, const char *path,
                 const struct sb_tree_pack_options *options, struct sb_error *err) {
    struct walk *w = sb_alloc(sizeof *w);
    w->packer = packer;
    w->options = options;
    int failed = push_root(w, path, err);
    while (!failed && w->depth > 0) {
        struct level *level = top(w);
        if (level->next < level->names.n)
            failed = visit(w, level->names.v[level->next++], err);
        else
            failed = pop(w, err);
    }
    end(w);
    return failed;
}
