#include "layers/contents.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "layers/contents_private.h"
#include "layers/whiteout.h"

/* The file, version 1; numbers are little-endian. A header, a record for each entry in byte order
 * of paths, and the strings that records point into, each ending in NUL, the first of them empty.
 * The check is a CRC-32 of all but the last eight bytes of the header: it finds a file that a power
 * cut left half written, which is all that it is for, and costs far less than reading the file. */
#define MAGIC "sb-toc 1"

struct header {
    char magic[8];
    uint64_t length; /* of the file */
    uint64_t count;  /* of records */
    uint64_t strings_length;
    unsigned char diff_id[32];
    uint32_t check;
    uint32_t unused;
};
_Static_assert(sizeof(struct header) == 72, "the header has no gaps");

#define WRITE_SIZE (256u << 10)

/* ---- writing ---- */

struct sb_contents_writer *sb_contents_start(void) {
    struct sb_contents_writer *writer = sb_alloc(sizeof *writer);
    sb_buf_addc(&writer->strings, '\0');
    return writer;
}

static uint32_t keep_string(struct sb_contents_writer *writer, const char *text) {
    size_t at = writer->strings.len;
    sb_buf_add(&writer->strings, text, strlen(text) + 1);
    return (uint32_t)at;
}

void sb_contents_add(struct sb_contents_writer *writer, const struct sb_entry *entry) {
    if (sb_whiteout_device(entry))
        return;
    SB_GROW(writer->items, writer->count, writer->cap);
    struct sb_contents_item *item = &writer->items[writer->count];
    bool device = S_ISCHR(entry->mode) || S_ISBLK(entry->mode);
    *item = (struct sb_contents_item){
        .number = writer->count++,
        .record = {.path = keep_string(writer, entry->path),
                   .link = entry->link ? keep_string(writer, entry->link) : 0,
                   .mode = entry->mode,
                   .uid = entry->uid,
                   .gid = entry->gid,
                   .nanoseconds = entry->mtime_nsec | (entry->hard_link ? HARD_LINK : 0),
                   .mtime = entry->mtime,
                   .size = device ? (uint64_t)entry->device_major << 32 | entry->device_minor
                                  : entry->size},
    };
}

void sb_contents_abort(struct sb_contents_writer *writer) {
    if (!writer)
        return;
    free(writer->items);
    sb_buf_free(&writer->strings);
    free(writer);
}

/* What a file is made of goes by in order, and never is in memory as a whole. */
struct sink {
    void (*put)(struct sink *sink, const void *data, size_t len);
    uint32_t check;
    struct sb_buf buf; /* not yet written, or all of it */
    int fd;
    struct sb_error *err;
    bool failed;
};

static void put_check(struct sink *sink, const void *data, size_t len) {
    sink->check = libdeflate_crc32(sink->check, data, len);
}

static void put_memory(struct sink *sink, const void *data, size_t len) {
    sb_buf_add(&sink->buf, data, len);
}

static void flush(struct sink *sink) {
    if (!sink->failed && sink->buf.len > 0)
        sink->failed =
            sb_fd_write(sink->fd, sink->buf.data, sink->buf.len, "contents", sink->err) < 0;
    sb_buf_reset(&sink->buf);
}

static void put_file(struct sink *sink, const void *data, size_t len) {
    sb_buf_add(&sink->buf, data, len);
    if (sink->buf.len >= WRITE_SIZE)
        flush(sink);
}

static uint64_t strings_length(const struct sb_contents_writer *writer) {
    uint64_t length = 1;
    for (size_t i = 0; i < writer->count; i++) {
        const struct sb_record *r = &writer->items[i].record;
        length += strlen(writer->strings.data + r->path) + 1;
        length += r->link ? strlen(writer->strings.data + r->link) + 1 : 0;
    }
    return length;
}

static uint32_t move_string(const struct sb_contents_writer *writer, uint32_t at, uint32_t *end) {
    uint32_t moved = *end;
    *end += (uint32_t)strlen(writer->strings.data + at) + 1;
    return moved;
}

/* All after the header; strings in the order of the records that name them. */
static void put_body(const struct sb_contents_writer *writer, struct sink *sink) {
    uint32_t end = 1;
    for (size_t i = 0; i < writer->count; i++) {
        const struct sb_record *r = &writer->items[i].record;
        struct sb_record coded = {
            .path = htole32(move_string(writer, r->path, &end)),
            .link = htole32(r->link ? move_string(writer, r->link, &end) : 0),
            .mode = htole32(r->mode),
            .uid = htole32(r->uid),
            .gid = htole32(r->gid),
            .nanoseconds = htole32(r->nanoseconds),
            .mtime = (int64_t)htole64((uint64_t)r->mtime),
            .size = htole64(r->size),
        };
        sink->put(sink, &coded, sizeof coded);
    }
    sink->put(sink, "", 1);
    for (size_t i = 0; i < writer->count; i++) {
        const struct sb_record *r = &writer->items[i].record;
        const char *path = writer->strings.data + r->path, *link = writer->strings.data + r->link;
        sink->put(sink, path, strlen(path) + 1);
        if (r->link)
            sink->put(sink, link, strlen(link) + 1);
    }
}

/* The whole file. */
static void encode(const struct sb_contents_writer *writer, const struct sb_digest *diff_id,
                   struct sink *sink) {
    struct sink check = {.put = put_check};
    struct header header = {.magic = MAGIC};
    uint64_t strings = strings_length(writer);
    header.length = htole64(sizeof header + writer->count * sizeof(struct sb_record) + strings);
    header.count = htole64(writer->count);
    header.strings_length = htole64(strings);
    memcpy(header.diff_id, diff_id->bytes, sizeof header.diff_id);
    put_check(&check, &header, offsetof(struct header, check));
    put_body(writer, &check);
    header.check = htole32(check.check);
    sink->put(sink, &header, sizeof header);
    put_body(writer, sink);
}

static char *path_of(const struct sb_digest *diff_id) {
    return sb_format("contents/%s", sb_digest_hex(diff_id).text);
}

static int publish(const struct sb_contents_writer *writer, struct sb_store *store,
                   const struct sb_digest *diff_id, struct sb_error *err) {
    sb_autofree char *path = path_of(diff_id);
    char name[32];
    int tmp = sb_store_tmp_fd(store);
    if (tmp < 0)
        return sb_fail_errno(err, SB_E_IO, "making a temporary directory");
    sb_autoclose int fd = sb_file_temporary(tmp, name, err);
    if (fd < 0)
        return -1;
    struct sink sink = {.put = put_file, .fd = fd, .err = err};
    encode(writer, diff_id, &sink);
    flush(&sink);
    sb_buf_free(&sink.buf);
    if (!sink.failed &&
        (close(sb_steal_fd(&fd)) < 0 || renameat(tmp, name, sb_store_private_fd(store), path) < 0))
        sink.failed = sb_fail_errno(err, SB_E_IO, "writing %s", path) < 0;
    if (sink.failed)
        unlinkat(tmp, name, 0);
    return sink.failed ? -1 : 0;
}

int sb_contents_finish(struct sb_contents_writer *writer, struct sb_store *store,
                       const struct sb_digest *diff_id, struct sb_error *err) {
    int failed = 0;
    if (writer->strings.len > UINT32_MAX) {
        failed = sb_fail(err, SB_E_FAILED,
                         "more names in one layer than its table of contents"
                         " can hold");
    } else {
        failed = sb_contents_leave(writer, err);
    }
    if (!failed) {
        failed = publish(writer, store, diff_id, err);
        if (failed)
            sb_error_context(err, "%s", sb_store_path(store));
    }
    sb_contents_abort(writer);
    return failed;
}

/* ---- reading ---- */

struct sb_contents {
    const void *map;
    size_t length;
    bool in_memory; /* map is the heap's */
    const struct sb_record *records;
    size_t count;
    const char *strings;
};

static bool header_is_whole(const struct header *h, uint64_t length,
                            const struct sb_digest *diff_id) {
    uint64_t count = le64toh(h->count), strings = le64toh(h->strings_length);
    uint64_t rest = length - sizeof *h;
    return !memcmp(h->magic, MAGIC, sizeof h->magic) && le64toh(h->length) == length &&
           !memcmp(h->diff_id, diff_id->bytes, sizeof h->diff_id) && !h->unused &&
           count <= rest / sizeof(struct sb_record) && strings > 0 &&
           strings == rest - count * sizeof(struct sb_record);
}

/* After this, every string that a record points at begins and ends within the file. */
static bool records_are_whole(const struct sb_contents *c, size_t strings_length) {
    if (c->strings[0] || c->strings[strings_length - 1])
        return false;
    for (size_t i = 0; i < c->count; i++)
        if (le32toh(c->records[i].path) >= strings_length ||
            le32toh(c->records[i].link) >= strings_length)
            return false;
    return true;
}

static void find_parts(struct sb_contents *c) {
    const struct header *h = c->map;
    c->count = (size_t)le64toh(h->count);
    c->records = (const struct sb_record *)(h + 1);
    c->strings = (const char *)(c->records + c->count);
}

static uint32_t check_of(const void *file, size_t length) {
    const unsigned char *bytes = file;
    uint32_t check = libdeflate_crc32(0, bytes, offsetof(struct header, check));
    return libdeflate_crc32(check, bytes + sizeof(struct header), length - sizeof(struct header));
}

static bool is_whole(struct sb_contents *c, const struct sb_digest *diff_id) {
    const struct header *h = c->map;
    if (!header_is_whole(h, c->length, diff_id) || le32toh(h->check) != check_of(c->map, c->length))
        return false;
    find_parts(c);
    return records_are_whole(c, (size_t)le64toh(h->strings_length));
}

static const char *path_at(const struct sb_contents *contents, size_t index) {
    return contents->strings + le32toh(contents->records[index].path);
}

static int open_file(struct sb_store *store, const char *path, struct sb_error *err) {
    int fd = openat(sb_store_private_fd(store), path, SB_FILE_FLAGS | O_NOFOLLOW);
    if (fd < 0)
        return sb_fail_errno(err, errno == ENOENT ? SB_E_NOT_FOUND : SB_E_IO, "%s/sbuild/%s",
                             sb_store_path(store), path);
    futimens(fd, NULL); /* used now, for the collector; it may be gone without harm */
    return fd;
}

/* Looked at before anything of that length is brought into memory. No table has more than what its
 * names may take: a record is less than an entry counts with. */
static bool is_header(int fd, uint64_t length) {
    struct header h;
    return length <= sizeof h + SB_NAMES_LIMIT && pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h &&
           !memcmp(h.magic, MAGIC, sizeof h.magic) && le64toh(h.length) == length;
}

/* *out is NULL when the file is damaged. */
static int map_file(int fd, const struct sb_digest *diff_id, struct sb_contents **out) {
    struct stat st;
    *out = NULL;
    if (fstat(fd, &st) < 0)
        return -1;
    if (!S_ISREG(st.st_mode) || !is_header(fd, (uint64_t)st.st_size))
        return 0;
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (map == MAP_FAILED)
        return -1;
    struct sb_contents *c = sb_alloc(sizeof *c);
    c->map = map;
    c->length = (size_t)st.st_size;
    if (is_whole(c, diff_id))
        *out = c;
    else
        sb_contents_close(c);
    return 0;
}

int sb_contents_open(struct sb_store *store, const struct sb_digest *diff_id,
                     struct sb_contents **out, struct sb_error *err) {
    sb_autofree char *path = path_of(diff_id);
    sb_autoclose int fd = open_file(store, path, err);
    if (fd < 0)
        return -1;
    if (map_file(fd, diff_id, out) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s/sbuild/%s", sb_store_path(store), path);
    if (!*out)
        return sb_fail(err, SB_E_INTEGRITY, "%s/sbuild/%s: the table of contents is damaged",
                       sb_store_path(store), path);
    return 0;
}

/* As layers/entry has it: "a/b", no component empty, "." or "..". */
static bool is_clean(const char *path) {
    for (;;) {
        size_t n = strcspn(path, "/");
        if (n == 0 || (n <= 2 && strspn(path, ".") >= n))
            return false;
        if (!path[n])
            return true;
        path += n + 1;
    }
}

/* What the reader of layers would have let pass: clean paths, each once and in order. */
static bool is_plausible(const struct sb_contents *c) {
    for (size_t i = 0; i < c->count; i++) {
        const char *path = path_at(c, i);
        const char *link = c->strings + le32toh(c->records[i].link);
        if (strnlen(path, SB_PATH_LIMIT + 1) > SB_PATH_LIMIT ||
            strnlen(link, SB_PATH_LIMIT + 1) > SB_PATH_LIMIT)
            return false;
        if (i > 0 && strcmp(path_at(c, i - 1), path) >= 0)
            return false;
        if (!is_clean(path))
            return false;
    }
    return true;
}

int sb_contents_open_foreign(int fd, const struct sb_digest *diff_id, struct sb_contents **out,
                             struct sb_error *err) {
    if (map_file(fd, diff_id, out) < 0)
        return sb_fail_errno(err, SB_E_IO, "mapping a table of contents");
    if (*out && is_plausible(*out))
        return 0;
    sb_contents_close(*out);
    *out = NULL;
    return sb_fail(err, SB_E_INTEGRITY, "the table of contents is damaged");
}

const void *sb_contents_bytes(const struct sb_contents *contents, size_t *out_len) {
    *out_len = contents->length;
    return contents->map;
}

void sb_contents_close(struct sb_contents *contents) {
    if (!contents)
        return;
    if (contents->in_memory)
        free((void *)contents->map);
    else
        munmap((void *)contents->map, contents->length);
    free(contents);
}

struct sb_contents *sb_contents_from_writer(struct sb_contents_writer *writer) {
    struct sb_contents *c = NULL;
    if (writer->strings.len <= UINT32_MAX) {
        struct sb_digest none = {{0}};
        struct sink sink = {.put = put_memory};
        sb_contents_leave_last(writer);
        encode(writer, &none, &sink);
        c = sb_alloc(sizeof *c);
        c->in_memory = true;
        c->length = sink.buf.len;
        c->map = sb_buf_steal(&sink.buf);
        find_parts(c);
    }
    sb_contents_abort(writer);
    return c;
}

size_t sb_contents_count(const struct sb_contents *contents) {
    return contents->count;
}

uint64_t sb_contents_names(const struct sb_contents *contents) {
    uint64_t records = contents->count * sizeof(struct sb_record) + sizeof(struct header);
    return contents->count * SB_ENTRY_COST + (contents->length - records);
}

void sb_contents_get(const struct sb_contents *contents, size_t index, struct sb_entry *out) {
    const struct sb_record *r = &contents->records[index];
    uint32_t link = le32toh(r->link), nanoseconds = le32toh(r->nanoseconds);
    *out = (struct sb_entry){
        .path = path_at(contents, index),
        .link = link ? contents->strings + link : NULL,
        .mode = le32toh(r->mode),
        .hard_link = nanoseconds & HARD_LINK,
        .uid = le32toh(r->uid),
        .gid = le32toh(r->gid),
        .mtime = (int64_t)le64toh((uint64_t)r->mtime),
        .mtime_nsec = nanoseconds & ~HARD_LINK,
    };
    if (S_ISCHR(out->mode) || S_ISBLK(out->mode)) {
        out->device_major = (uint32_t)(le64toh(r->size) >> 32);
        out->device_minor = (uint32_t)le64toh(r->size);
    } else {
        out->size = le64toh(r->size);
    }
}

size_t sb_contents_seek_between(const struct sb_contents *contents, size_t low, size_t high,
                                const char *path) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(path_at(contents, middle), path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t sb_contents_seek(const struct sb_contents *contents, const char *path) {
    return sb_contents_seek_between(contents, 0, contents->count, path);
}

bool sb_contents_find(const struct sb_contents *contents, const char *path, struct sb_entry *out) {
    size_t i = sb_contents_seek(contents, path);
    if (i == contents->count || strcmp(path_at(contents, i), path) != 0)
        return false;
    sb_contents_get(contents, i, out);
    return true;
}
