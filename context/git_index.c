#include "context/git_index.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"

/*
 * index     = "DIRC" version:u32 count:u32 entry{count} extension* checksum:20 bytes
 * entry     = stat:10*u32 object:20 bytes flags:u16 [more-flags:u16] path NUL padding
 * extension = name:4 bytes size:u32 bytes{size}
 *
 * The mode is the seventh field of stat. Versions 2 and 3 pad an entry to a multiple of 8 bytes
 * with 1 to 8 NULs; version 4 does not, and writes the path as the number of bytes to take off the
 * end of the path before, and those to put there. All numbers are big-endian.
 */
enum {
    HEADER = 12,
    ENTRY_FIXED = 62,
    MODE_AT = 24,
    OBJECT_AT = 40,
    CHECKSUM = 20,
    FLAG_ASSUME_VALID = 0x8000,
    FLAG_EXTENDED = 0x4000,      /* version 3 and later: 2 more bytes of flags */
    FLAG_SKIP_WORKTREE = 0x4000, /* of these */
    INDEX_LIMIT = 256 << 20,
    PATH_LIMIT = 4096,
};

struct index {
    const unsigned char *p, *end;
    uint32_t version;
    struct sb_buf path; /* of the entry before, then of this one */
};

static uint32_t big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The variable-width number of version 4: each byte but the last has its high bit set, and each
 * further byte counts one more than its bits say. */
static bool read_varint(struct index *x, size_t *out) {
    size_t value = 0;
    for (int i = 0; i < 4 && x->p < x->end; i++) {
        unsigned char c = *x->p++;
        value = (value << 7) + (c & 0x7f);
        if (!(c & 0x80)) {
            *out = value;
            return true;
        }
        value++;
    }
    return false;
}

static bool read_path(struct index *x) {
    size_t strip = x->path.len;
    if (x->version == 4 && (!read_varint(x, &strip) || strip > x->path.len))
        return false;
    size_t room = (size_t)(x->end - x->p);
    size_t n = strnlen((const char *)x->p, room);
    if (n == room || x->path.len - strip + n > PATH_LIMIT)
        return false;
    x->path.len -= strip;
    sb_buf_add(&x->path, x->p, n);
    x->p += n + 1;
    return x->path.len > 0;
}

static bool read_entry(struct index *x, struct sb_git_index_entry *out) {
    const unsigned char *start = x->p;
    if (x->end - x->p <= ENTRY_FIXED + 2)
        return false;
    uint32_t mode = big_endian(start + MODE_AT);
    unsigned flags = (unsigned)start[60] << 8 | start[61];
    if (!S_ISREG(mode) && !S_ISLNK(mode) && mode != SB_GIT_SUBMODULE)
        return false; /* a directory of a sparse index */
    *out = (struct sb_git_index_entry){
        .mode = mode,
        .ctime = {big_endian(start), big_endian(start + 4)},
        .mtime = {big_endian(start + 8), big_endian(start + 12)},
        .inode = big_endian(start + 20),
        .size = big_endian(start + 36),
        .object = start + OBJECT_AT,
    };
    if ((flags & FLAG_EXTENDED) && x->version < 3)
        return false;
    unsigned more = flags & FLAG_EXTENDED ? (unsigned)start[62] << 8 | start[63] : 0;
    out->assumed = flags & FLAG_ASSUME_VALID;
    out->skipped = more & FLAG_SKIP_WORKTREE;
    x->p += ENTRY_FIXED + (flags & FLAG_EXTENDED ? 2 : 0);
    if (!read_path(x))
        return false;
    if (x->version == 4)
        return true;
    size_t whole = ((size_t)(x->p - start) + 7) / 8 * 8;
    if (whole > (size_t)(x->end - start))
        return false;
    x->p = start + whole;
    return true;
}

/* Those that move entries elsewhere have names in small letters: a reader must know them. */
static bool read_extensions(struct index *x) {
    while (x->end - x->p >= 8) {
        uint32_t size = big_endian(x->p + 4);
        if (x->p[0] < 'A' || x->p[0] > 'Z' || size > (size_t)(x->end - x->p) - 8)
            return false;
        x->p += 8 + size;
    }
    return x->p == x->end;
}

bool sb_git_index_read(const void *bytes, size_t len, sb_git_index_visit *visit, void *data) {
    const unsigned char *start = bytes;
    if (len < HEADER + CHECKSUM || memcmp(start, "DIRC", 4) != 0)
        return false;
    struct index x = {.p = start + HEADER, .end = start + len - CHECKSUM};
    x.version = big_endian(start + 4);
    if (x.version < 2 || x.version > 4)
        return false;
    bool good = true;
    for (uint32_t left = big_endian(start + 8); good && left > 0; left--) {
        struct sb_git_index_entry entry;
        good = read_entry(&x, &entry);
        entry.path = x.path.data;
        good = good && visit(data, &entry);
    }
    good = good && read_extensions(&x);
    sb_buf_free(&x.path);
    return good;
}

bool sb_git_is_racy(int64_t changed_ns, int64_t started_ns) {
    /* As for any file: the kernel's tick is at most 10 ms, a coarse file system's 2 s. */
    int64_t grain = changed_ns % 1000000000 ? 50000000 : 2100000000;
    return changed_ns > started_ns - grain;
}

struct tree {
    int top_fd;
    int64_t started_ns;
    struct sb_sha256 sha;
    struct sb_buf last; /* the path before */
};

static int64_t nanoseconds(struct timespec t) {
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Two changes of one file within the clock's grain leave the same times, and the second of them
 * would not be seen; only ctime counts, as a program can set mtime to anything. */
static bool add_state(struct tree *t, const char *path, const struct stat *st) {
    int64_t ctime = nanoseconds(st->st_ctim);
    if (sb_git_is_racy(ctime, t->started_ns))
        return false;
    const int64_t facts[] = {(int64_t)st->st_dev,
                             (int64_t)st->st_ino,
                             (int64_t)st->st_mode,
                             (int64_t)st->st_size,
                             ctime,
                             nanoseconds(st->st_mtim)};
    sb_sha256_add(&t->sha, path, strlen(path) + 1);
    sb_sha256_add(&t->sha, facts, sizeof facts);
    return true;
}

/* The directories on the way that the path before did not have: one that became a symbolic link to
 * itself, moved, has the same files below it, and git does not follow it. */
static void add_directories(struct tree *t, const char *path) {
    const char *last = sb_buf_text(&t->last);
    size_t common = 0;
    for (size_t i = 0; path[i] && path[i] == last[i]; i++)
        if (path[i] == '/')
            common = i + 1;
    sb_buf_reset(&t->last);
    sb_buf_adds(&t->last, path);
    for (char *slash = strchr(t->last.data + common, '/'); slash; slash = strchr(slash + 1, '/')) {
        struct stat st;
        *slash = '\0';
        if (fstatat(t->top_fd, t->last.data, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
            sb_sha256_add(&t->sha, t->last.data, strlen(t->last.data) + 1);
        *slash = '/';
    }
}

static bool visit_file(void *data, const struct sb_git_index_entry *entry) {
    struct tree *t = data;
    const char *path = entry->path;
    struct stat st;
    if (entry->mode == SB_GIT_SUBMODULE)
        return false;
    add_directories(t, path);
    if (fstatat(t->top_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return add_state(t, path, &st);
    sb_sha256_add(&t->sha, path, strlen(path) + 1); /* gone */
    return true;
}

bool sb_git_index_matches(const struct sb_git_index_entry *e, const struct stat *st) {
    return e->size != 0 && e->size == (uint32_t)st->st_size && e->inode == (uint32_t)st->st_ino &&
           e->mtime[0] == (uint32_t)st->st_mtim.tv_sec &&
           e->mtime[1] == (uint32_t)st->st_mtim.tv_nsec &&
           e->ctime[0] == (uint32_t)st->st_ctim.tv_sec &&
           e->ctime[1] == (uint32_t)st->st_ctim.tv_nsec;
}

bool sb_git_index_load(const char *git_dir, struct sb_buf *out, struct stat *out_stat) {
    sb_autoclose int dir = open(git_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    sb_autoclose int fd =
        dir < 0 ? -1 : sb_beneath_open(dir, "index", SB_BENEATH_NO_LINKS, out_stat, NULL);
    return fd >= 0 && sb_file_take(fd, out_stat, "index", INDEX_LIMIT, out, NULL) == 0;
}

bool sb_git_tree_state(const char *git_dir, const char *top, int64_t started_ns,
                       struct sb_digest *out) {
    sb_autoclose int top_fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    sb_autobuf struct sb_buf bytes = {0};
    if (top_fd < 0 || !sb_git_index_load(git_dir, &bytes, &st))
        return false;
    struct tree t = {.top_fd = top_fd, .started_ns = started_ns};
    sb_sha256_start(&t.sha);
    bool good = add_state(&t, "index", &st) &&
                sb_git_index_read(sb_buf_text(&bytes), bytes.len, visit_file, &t);
    sb_buf_free(&t.last);
    *out = sb_sha256_finish(&t.sha);
    return good;
}
