#include "context/statcache.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "layers/store.h"

/* The file: a header, `count` records in sb_path_order of their paths, then the paths, each with
 * its NUL. Native byte order: the file never leaves the machine. */
struct header {
    char magic[8];
    uint32_t crc; /* of all that follows the header */
    uint32_t count;
    uint64_t size; /* of the whole file */
};
static const char magic[8] = "SBSTAT1";

struct record {
    uint64_t dev, ino, size;
    int64_t mtime, ctime; /* nanoseconds */
    uint32_t mode;
    uint32_t path; /* offset from the start of the paths */
    unsigned char digest[32];
};

struct added {
    const char *path;
    struct record record;
};

#define RECORD_LIMIT 4000000
#define SIZE_LIMIT   (1ull << 30) /* bytes: of so many records with paths of 160 */

struct sb_statcache {
    int dirfd;
    char *name;
    void *map;
    size_t map_size;
    const struct record *records;
    const char *paths;
    size_t count;
    pthread_mutex_t lock; /* over what is added */
    struct added *added;
    size_t added_count, added_cap;
    struct sb_arena arena;
};

/* The end of a path comes first, then a separator, then any other byte. */
static unsigned rank(char c) {
    return c == '\0' ? 0 : c == '/' ? 1 : (unsigned char)c + 1u;
}

int sb_path_order(const char *a, const char *b) {
    while (*a && *a == *b) {
        a++;
        b++;
    }
    unsigned x = rank(*a), y = rank(*b);
    return x < y ? -1 : x > y;
}

static int64_t nanoseconds(struct timespec t) {
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Looked at before anything of that length is brought into memory. */
static bool is_header(int fd, uint64_t size) {
    struct header h;
    return pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h &&
           memcmp(h.magic, magic, sizeof magic) == 0 && h.size == size && h.count <= RECORD_LIMIT &&
           size <= SIZE_LIMIT;
}

static bool is_valid(const struct sb_statcache *c) {
    const struct header *h = c->map;
    if (c->map_size < sizeof *h || h->size != c->map_size || h->count > RECORD_LIMIT)
        return false;
    size_t paths = sizeof *h + (size_t)h->count * sizeof(struct record);
    if (paths >= c->map_size || ((const char *)c->map)[c->map_size - 1] != '\0')
        return false;
    if (libdeflate_crc32(0, (const char *)c->map + sizeof *h, c->map_size - sizeof *h) != h->crc)
        return false;
    const struct record *records = (const void *)((const char *)c->map + sizeof *h);
    for (size_t i = 0; i < h->count; i++)
        if (records[i].path >= c->map_size - paths)
            return false;
    return true;
}

struct sb_statcache *sb_statcache_open(int dirfd, const char *name) {
    struct sb_statcache *c = sb_alloc(sizeof *c);
    c->dirfd = dirfd;
    c->name = sb_strdup(name);
    pthread_mutex_init(&c->lock, NULL);
    sb_autoclose int fd = openat(dirfd, name, SB_FILE_FLAGS);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        !is_header(fd, (uint64_t)st.st_size))
        return c;
    c->map_size = (size_t)st.st_size;
    c->map = mmap(NULL, c->map_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (c->map == MAP_FAILED) {
        c->map = NULL;
    } else if (is_valid(c)) {
        const struct header *h = c->map;
        c->count = h->count;
        sb_store_use_note(dirfd, name);
        c->records = (const void *)((const char *)c->map + sizeof *h);
        c->paths = (const char *)(c->records + c->count);
    }
    return c;
}

static const char *path_of(const struct sb_statcache *c, size_t i) {
    return c->paths + c->records[i].path;
}

static const struct record *look_up(const struct sb_statcache *c, const char *path,
                                    size_t *cursor) {
    if (*cursor < c->count && !strcmp(path_of(c, *cursor), path))
        return &c->records[(*cursor)++];
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = sb_path_order(path_of(c, middle), path);
        if (order == 0) {
            *cursor = middle + 1;
            return &c->records[middle];
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *cursor = low;
    return NULL;
}

static struct record record_of(const struct stat *st, const struct sb_digest *digest) {
    struct record r = {.dev = st->st_dev,
                       .ino = st->st_ino,
                       .size = (uint64_t)st->st_size,
                       .mtime = nanoseconds(st->st_mtim),
                       .ctime = nanoseconds(st->st_ctim),
                       .mode = st->st_mode};
    if (digest)
        memcpy(r.digest, digest->bytes, sizeof r.digest);
    return r;
}

bool sb_statcache_find(const struct sb_statcache *c, const char *path, const struct stat *st,
                       size_t *cursor, struct sb_digest *out) {
    const struct record *r = look_up(c, path, cursor);
    if (!r)
        return false;
    struct record now = record_of(st, NULL);
    if (r->dev != now.dev || r->ino != now.ino || r->size != now.size || r->mtime != now.mtime ||
        r->ctime != now.ctime || r->mode != now.mode)
        return false;
    memcpy(out->bytes, r->digest, sizeof out->bytes);
    return true;
}

/* Could a change right after hashing leave the same time? Times with a fraction come from a file
 * system that has the kernel's tick (at most 10 ms); whole seconds may come from one that has no
 * finer (FAT: 2 s). */
static bool is_racy(int64_t changed_ns, int64_t started_ns) {
    int64_t grain = changed_ns % 1000000000 ? 50000000 : 2100000000;
    return changed_ns > started_ns - grain;
}

void sb_statcache_add(struct sb_statcache *c, const char *path, const struct stat *st,
                      int64_t started_ns, const struct sb_digest *digest) {
    struct record r = record_of(st, digest);
    if (is_racy(r.mtime, started_ns) || is_racy(r.ctime, started_ns))
        return;
    pthread_mutex_lock(&c->lock);
    SB_GROW(c->added, c->added_count, c->added_cap);
    c->added[c->added_count++] = (struct added){sb_arena_strdup(&c->arena, path), r};
    pthread_mutex_unlock(&c->lock);
}

static int compare_added(const void *a, const void *b) {
    return sb_path_order(((const struct added *)a)->path, ((const struct added *)b)->path);
}

static void append(struct sb_buf *records, struct sb_buf *paths, struct record record,
                   const char *path) {
    record.path = (uint32_t)paths->len;
    sb_buf_add(records, &record, sizeof record);
    sb_buf_add(paths, path, strlen(path) + 1);
}

/* Merges old and added, the added winning. */
static void merge(const struct sb_statcache *c, struct sb_buf *records, struct sb_buf *paths) {
    size_t i = 0, j = 0;
    while (i < c->count || j < c->added_count) {
        int order = i == c->count         ? 1
                    : j == c->added_count ? -1
                                          : sb_path_order(path_of(c, i), c->added[j].path);
        if (j + 1 < c->added_count && order >= 0 &&
            !strcmp(c->added[j].path, c->added[j + 1].path)) {
            j++; /* hashed twice: any of the two will do */
            continue;
        }
        if (order < 0)
            append(records, paths, c->records[i], path_of(c, i));
        else
            append(records, paths, c->added[j].record, c->added[j].path);
        i += order <= 0;
        j += order >= 0;
    }
}

/* Not fsynced: a torn file fails its checksum and is taken for missing. */
static void save(struct sb_statcache *c) {
    sb_autobuf struct sb_buf records = {0};
    sb_autobuf struct sb_buf paths = {0};
    sb_buf_add(&records, &(struct header){0}, sizeof(struct header));
    qsort(c->added, c->added_count, sizeof *c->added, compare_added);
    if (c->count + c->added_count > RECORD_LIMIT)
        c->count = 0;
    merge(c, &records, &paths);
    size_t count = (records.len - sizeof(struct header)) / sizeof(struct record);
    if (paths.len > UINT32_MAX)
        return;
    sb_buf_add(&records, paths.data, paths.len);
    struct header *h = (void *)records.data;
    memcpy(h->magic, magic, sizeof magic);
    h->count = (uint32_t)count;
    h->size = records.len;
    h->crc = libdeflate_crc32(0, records.data + sizeof *h, records.len - sizeof *h);
    sb_file_publish(c->dirfd, c->dirfd, c->name, records.data, records.len, NULL);
}

void sb_statcache_close(struct sb_statcache *c) {
    if (!c)
        return;
    if (c->added_count > 0)
        save(c);
    if (c->map)
        munmap(c->map, c->map_size);
    pthread_mutex_destroy(&c->lock);
    sb_arena_free(&c->arena);
    free(c->added);
    free(c->name);
    free(c);
}
