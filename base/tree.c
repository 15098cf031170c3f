#include "base/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/memory.h"

#define OPEN_LEVELS      48 /* descriptors held, however deep it goes */
#define CLEANING_SECONDS 5

enum { DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

/* A directory on the way. names: for each entry its type, its name, a NUL. */
struct level {
    int fd; /* -1: closed, to be reached again from below */
    dev_t device;
    ino_t inode;
    struct sb_buf names;
    size_t next, path_len;
};

struct walk {
    struct level *levels;
    size_t depth, cap;
    struct sb_buf path;
    dev_t device;
    char entries[32768] __attribute__((aligned(16))); /* of getdents64 */
};

static struct level *top(struct walk *w) {
    return &w->levels[w->depth - 1];
}

static int fail_at(const struct walk *w, const char *what, struct sb_error *err) {
    if (w->path.len <= 200)
        return sb_fail_errno(err, SB_E_IO, "%s %s", what, w->path.len ? w->path.data : "it");
    return sb_fail_errno(err, SB_E_IO, "%s %.200s…", what, w->path.data);
}

static int read_names(struct walk *w, struct level *level, struct sb_error *err) {
    for (;;) {
        ssize_t n = getdents64(level->fd, w->entries, sizeof w->entries);
        if (n < 0 && errno == ENOENT)
            return 0; /* removed meanwhile */
        if (n < 0)
            return fail_at(w, "reading the directory", err);
        if (n == 0)
            return 0;
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *e = (const struct dirent64 *)(w->entries + at);
            at += e->d_reclen;
            if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
                continue;
            sb_buf_addc(&level->names, (char)e->d_type);
            sb_buf_add(&level->names, e->d_name, strlen(e->d_name) + 1);
        }
    }
}

/* Takes over fd, the directory whose path is in w->path. */
static int push(struct walk *w, int fd, struct sb_error *err) {
    struct stat st;
    if (fstat(fd, &st) < 0) {
        close(fd);
        return fail_at(w, "reading the directory", err);
    }
    SB_GROW(w->levels, w->depth, w->cap);
    w->levels[w->depth++] =
        (struct level){.fd = fd, .device = st.st_dev, .inode = st.st_ino, .path_len = w->path.len};
    if (w->depth > OPEN_LEVELS && w->levels[w->depth - 1 - OPEN_LEVELS].fd >= 0)
        close(sb_steal_fd(&w->levels[w->depth - 1 - OPEN_LEVELS].fd));
    return read_names(w, top(w), err);
}

static void drop(struct walk *w) {
    struct level *level = top(w);
    sb_close_descriptor(&level->fd);
    sb_buf_free(&level->names);
    w->depth--;
}

/* Back to the directory above; w->path is that of the one left. */
static int pop(struct walk *w, struct sb_error *err) {
    struct level *level = top(w), *above = w->depth > 1 ? level - 1 : NULL;
    struct stat st;
    int failed = 0;
    w->path.len = level->path_len;
    sb_buf_adds(&w->path, "");
    if (above && above->fd < 0) {
        above->fd = openat(level->fd, "..", DIRECTORY);
        if (above->fd < 0 || fstat(above->fd, &st) < 0)
            failed = fail_at(w, "going back up from", err);
        else if (st.st_dev != above->device || st.st_ino != above->inode)
            failed = sb_fail(err, SB_E_FAILED, "a directory was moved while it was being read: %s",
                             w->path.data);
    }
    drop(w);
    return failed;
}

static struct walk *start(void) {
    struct walk *w = sb_alloc(sizeof *w);
    sb_buf_adds(&w->path, "");
    return w;
}

static void end(struct walk *w) {
    while (w->depth > 0)
        drop(w);
    free(w->levels);
    sb_buf_free(&w->path);
    free(w);
}

/* The next entry of the directory at hand, whose path w->path becomes; false when there is none. */
static bool next_name(struct walk *w, const char **out_name, unsigned char *out_type) {
    struct level *level = top(w);
    if (level->next >= level->names.len)
        return false;
    *out_type = (unsigned char)level->names.data[level->next];
    *out_name = level->names.data + level->next + 1;
    level->next += strlen(*out_name) + 2;
    w->path.len = level->path_len;
    if (w->path.len > 0)
        sb_buf_addc(&w->path, '/');
    sb_buf_adds(&w->path, *out_name);
    return true;
}

static const char *last_name(const struct walk *w) {
    const char *slash = memrchr(w->path.data, '/', w->path.len);
    return slash ? slash + 1 : w->path.data;
}

static unsigned char type_of(int dir, const char *name, unsigned char type) {
    struct stat st;
    if (type != DT_UNKNOWN)
        return type;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? IFTODT(st.st_mode) : DT_REG;
}

/* ---- walking ---- */

/* A directory that another file system is mounted on is an entry like others, but isn't entered. */
static int enter_directory(struct walk *w, const char *name, struct sb_error *err) {
    struct stat st;
    sb_autoclose int fd = openat(top(w)->fd, name, DIRECTORY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail_at(w, "opening the directory", err);
    return st.st_dev == w->device ? push(w, sb_steal_fd(&fd), err) : 0;
}

static int visit_entry(struct walk *w, struct sb_tree_entry *entry, sb_tree_visit *enter,
                       sb_tree_visit *leave, void *self, struct sb_error *err) {
    entry->dir = top(w)->fd;
    entry->depth = w->depth;
    entry->path = w->path.data;
    entry->type = type_of(entry->dir, entry->name, entry->type);
    int rc = enter(self, entry, err);
    if (rc != 0 || entry->type != DT_DIR)
        return rc < 0 ? -1 : 0;
    size_t depth = w->depth;
    if (enter_directory(w, entry->name, err) < 0)
        return -1;
    return w->depth == depth && leave ? leave(self, entry, err) : 0;
}

static int leave_directory(struct walk *w, sb_tree_visit *leave, void *self, struct sb_error *err) {
    if (pop(w, err) < 0)
        return -1;
    if (w->depth == 0 || !leave)
        return sb_interrupt_check(err);
    struct sb_tree_entry entry = {.dir = top(w)->fd,
                                  .name = last_name(w),
                                  .path = w->path.data,
                                  .type = DT_DIR,
                                  .depth = w->depth};
    return leave(self, &entry, err) < 0 ? -1 : sb_interrupt_check(err);
}

int sb_tree_walk(int dirfd, const char *name, sb_tree_visit *enter, sb_tree_visit *leave,
                 void *self, struct sb_error *err) {
    int fd = openat(dirfd, name, DIRECTORY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        sb_fail_errno(err, SB_E_IO, "opening the directory %s", name);
        sb_close_descriptor(&fd);
        return -1;
    }
    struct walk *w = start();
    w->device = st.st_dev;
    int failed = push(w, fd, err);
    while (!failed && w->depth > 0) {
        struct sb_tree_entry entry;
        if (next_name(w, &entry.name, &entry.type))
            failed = visit_entry(w, &entry, enter, leave, self, err);
        else
            failed = leave_directory(w, leave, self, err);
    }
    end(w);
    return failed;
}

/* ---- removing ---- */

/* Opens a directory with all rights of its owner, as emptying it needs. */
static int open_to_empty(int dir, const char *name, const struct stat *st) {
    int fd = openat(dir, name, DIRECTORY);
    if (fd < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0)
        fd = openat(dir, name, DIRECTORY);
    if (fd >= 0 && (st->st_mode & 0700) != 0700 && fchmod(fd, 0700) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int remove_directory(struct walk *w, int dir, const char *name, struct sb_error *err) {
    struct stat st;
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return fail_at(w, "removing", err);
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_at(w, "removing", err);
    if (w->depth > 0 && st.st_dev != w->device)
        return sb_fail(err, SB_E_IO, "removing %.200s: another file system is mounted there",
                       w->path.data);
    w->device = st.st_dev;
    int fd = open_to_empty(dir, name, &st);
    if (fd < 0)
        return fail_at(w, "removing", err);
    return push(w, fd, err);
}

static int remove_entry(struct walk *w, int dir, const char *name, unsigned char type,
                        struct sb_error *err) {
    if (type != DT_DIR) {
        if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
            return 0;
        if (errno != EISDIR && (type != DT_UNKNOWN || type_of(dir, name, type) != DT_DIR))
            return fail_at(w, "removing", err);
    }
    return remove_directory(w, dir, name, err);
}

/* What was removed down there comes off the directory above. */
static int remove_emptied(struct walk *w, int dirfd, const char *name, struct sb_error *err) {
    if (pop(w, err) < 0)
        return -1;
    int dir = w->depth > 0 ? top(w)->fd : dirfd;
    if (unlinkat(dir, w->depth > 0 ? last_name(w) : name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return fail_at(w, "removing", err);
    return 0;
}

int sb_tree_remove(int dirfd, const char *name, struct sb_error *err) {
    double until = sb_interrupt_signal() ? sb_clock_seconds() + CLEANING_SECONDS : 0;
    struct walk *w = start();
    int failed = remove_entry(w, dirfd, name, DT_UNKNOWN, err);
    while (!failed && w->depth > 0) {
        const char *next;
        unsigned char type;
        if (next_name(w, &next, &type))
            failed = remove_entry(w, top(w)->fd, next, type, err);
        else
            failed = remove_emptied(w, dirfd, name, err);
        if (!failed && (until == 0 || sb_clock_seconds() > until))
            failed = sb_interrupt_check(err);
    }
    end(w);
    return failed ? sb_error_context(err, "%s", name) : 0;
}
