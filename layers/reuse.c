#include "layers/reuse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/uncached.h"

#define STEP          (64u << 10)  /* bytes compared at a time */
#define UNCACHED_FROM (128u << 10) /* as layers/content writes them */
#define AHEAD_FILES   256          /* of a directory that are asked for together */
#define AHEAD_SIZE    (64u << 10)  /* each; of larger ones the kernel reads ahead by itself */

enum { UNKNOWN = -2, MISSING = -1 };

struct older {
    int root;
    int dir;      /* r->parent in it; UNKNOWN, MISSING */
    bool fetched; /* what is in dir was asked for */
    struct sb_reused reused;
};

struct sb_reuse {
    struct older trees[SB_REUSE_TREES];
    size_t n, found; /* found: the tree that the last file was found in */
    char *parent;    /* of the last entry */
    unsigned char buffer[STEP];
};

struct sb_reuse *sb_reuse_new(void) {
    return sb_alloc(sizeof(struct sb_reuse));
}

bool sb_reuse_add(struct sb_reuse *r, int tree) {
    if (r->n == SB_REUSE_TREES) {
        close(tree);
        return false;
    }
    r->trees[r->n++] = (struct older){.root = tree, .dir = UNKNOWN};
    return true;
}

size_t sb_reuse_count(const struct sb_reuse *r) {
    return r->n;
}

struct sb_reused sb_reuse_from(const struct sb_reuse *r, size_t tree) {
    return r->trees[tree].reused;
}

struct sb_reused sb_reuse_total(const struct sb_reuse *r) {
    struct sb_reused sum = {0};
    for (size_t i = 0; i < r->n; i++) {
        sum.files += r->trees[i].reused.files;
        sum.bytes += r->trees[i].reused.bytes;
    }
    return sum;
}

static void leave_directories(struct sb_reuse *r) {
    for (size_t i = 0; i < r->n; i++) {
        if (r->trees[i].dir >= 0)
            close(r->trees[i].dir);
        r->trees[i].dir = UNKNOWN;
        r->trees[i].fetched = false;
    }
    free(sb_steal(r->parent));
}

void sb_reuse_free(struct sb_reuse *r) {
    if (!r)
        return;
    leave_directories(r);
    for (size_t i = 0; i < r->n; i++)
        close(r->trees[i].root);
    free(r);
}

/* ---- finding ---- */

/* Opens the directory that name is in, in the tree; -1 when there is none. */
static int enter(struct older *tree, const char *parent) {
    if (tree->dir == UNKNOWN && (tree->dir = sb_directory_beneath(tree->root, parent)) < 0)
        tree->dir = MISSING;
    return tree->dir;
}

static const char *go_to(struct sb_reuse *r, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (!r->parent || strlen(r->parent) != len || memcmp(r->parent, path, len) != 0) {
        leave_directories(r);
        r->parent = sb_strndup(path, len);
    }
    return slash ? slash + 1 : path;
}

static bool has_attributes_of(const struct stat *st, const struct sb_entry *entry) {
    return S_ISREG(st->st_mode) && st->st_size >= 0 && (uint64_t)st->st_size == entry->size &&
           st->st_mode == (S_IFREG | (entry->mode & 07777)) && st->st_uid == entry->uid &&
           st->st_gid == entry->gid && st->st_mtim.tv_sec == entry->mtime &&
           st->st_mtim.tv_nsec == (long)entry->mtime_nsec;
}

static bool has_xattr(int fd, const struct sb_xattr *x) {
    sb_autofree char *value = sb_alloc(x->value_len + 1);
    ssize_t n = fgetxattr(fd, x->name, value, x->value_len + 1);
    return n >= 0 && (size_t)n == x->value_len && memcmp(value, x->value, x->value_len) == 0;
}

/* All that it has, and no more: a mark of overlayfs, which no entry has, would make the file
 * something else than what it looks like. Labels are the host's, and the same for all trees. */
static bool has_xattrs_of(int fd, const struct sb_entry *entry) {
    char names[4096]; /* more than this no honest file has */
    ssize_t n = flistxattr(fd, names, sizeof names);
    size_t count = 0;
    if (n < 0)
        return errno == ENOTSUP && entry->xattr_count == 0;
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
        bool label = !strncmp(names + at, "security.", strlen("security.")) &&
                     strcmp(names + at, "security.capability") != 0;
        count += label ? 0 : 1;
    }
    if (count != entry->xattr_count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!has_xattr(fd, &entry->xattrs[i]))
            return false;
    return true;
}

/* After a boot the files are on the disk alone, and one read after the other would wait for each.
 * So those beside the first one that fits are asked for together. */
static void ask_ahead(struct older *tree) {
    struct dirent *e;
    sb_autoclosedir DIR *dir = NULL;
    int copy = tree->fetched ? -1 : openat(tree->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tree->fetched = true;
    if (copy < 0)
        return;
    if (!(dir = fdopendir(copy))) {
        close(copy);
        return;
    }
    for (int i = 0; i < AHEAD_FILES && (e = readdir(dir));) {
        if (e->d_type != DT_REG)
            continue;
        sb_autoclose int fd = openat(copy, e->d_name, SB_FILE_FLAGS | O_NOFOLLOW);
        if (fd >= 0)
            posix_fadvise(fd, 0, AHEAD_SIZE, POSIX_FADV_WILLNEED);
        i++;
    }
}

static int open_in(struct older *tree, const char *name, const struct sb_entry *entry) {
    struct stat st, opened;
    if (fstatat(tree->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !has_attributes_of(&st, entry))
        return -1;
    ask_ahead(tree);
    sb_autoclose int fd = openat(tree->dir, name, SB_FILE_FLAGS | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &opened) < 0 || opened.st_ino != st.st_ino ||
        opened.st_dev != st.st_dev || !has_attributes_of(&opened, entry) ||
        !has_xattrs_of(fd, entry))
        return -1;
    return sb_steal_fd(&fd);
}

int sb_reuse_open(struct sb_reuse *r, const struct sb_entry *entry) {
    const char *name = go_to(r, entry->path);
    for (size_t i = 0; i < r->n; i++) {
        int fd = enter(&r->trees[i], r->parent) < 0 ? -1 : open_in(&r->trees[i], name, entry);
        r->found = i;
        if (fd >= 0)
            return fd;
    }
    return -1;
}

/* ---- comparing ---- */

/* What can't be read is not equal. */
static bool is_equal(struct sb_reuse *r, int fd, const unsigned char *p, size_t len,
                     uint64_t offset, bool uncached) {
    for (size_t at = 0; at < len;) {
        ssize_t n = uncached ? sb_pread_uncached(fd, r->buffer, len - at, (off_t)(offset + at))
                             : pread(fd, r->buffer, len - at, (off_t)(offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || memcmp(r->buffer, p + at, (size_t)n) != 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* How many bytes are equal, by whole steps of the file, so that they can be copied by blocks. */
static size_t equal_part(struct sb_reuse *r, int fd, const struct sb_entry *entry,
                         const unsigned char *p, size_t len, uint64_t offset) {
    bool uncached = entry->size >= UNCACHED_FROM;
    for (size_t at = 0; at < len;) {
        size_t n = STEP - (size_t)((offset + at) % STEP);
        if (n > len - at)
            n = len - at;
        if (!is_equal(r, fd, p + at, n, offset + at, uncached))
            return at;
        at += n;
    }
    return len;
}

int sb_reuse_compare(struct sb_reuse *r, int fd, const struct sb_entry *entry,
                     struct sb_entry_data *data, struct sb_content_begun *out, bool *out_same,
                     struct sb_error *err) {
    uint64_t at = 0;
    *out_same = false;
    for (;;) {
        const void *p;
        size_t len;
        uint64_t offset;
        if (sb_entry_data_next(data, &p, &len, &offset, err) < 0)
            return -1;
        /* At the end, or at a hole of a sparse entry: those are just written. */
        if (len == 0 || offset != at) {
            *out_same = len == 0 && at == entry->size;
            *out = (struct sb_content_begun){at, len ? p : "", len, len ? offset : at};
            return 0;
        }
        size_t equal = equal_part(r, fd, entry, p, len, offset);
        at += equal;
        if (equal < len) {
            *out = (struct sb_content_begun){at, (const unsigned char *)p + equal, len - equal, at};
            return 0;
        }
    }
}

int sb_reuse_link(struct sb_reuse *r, int fd, const struct sb_entry *entry, int dir,
                  const char *name) {
    /* The file that was read, whatever has its name by now. */
    if (linkat(fd, "", dir, name, AT_EMPTY_PATH) < 0)
        return -1;
    r->trees[r->found].reused.files++;
    r->trees[r->found].reused.bytes += entry->size;
    return 0;
}
