#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/direct.h"
#include "layers/origin.h"
#include "layers/room.h"
#include "layers/store_private.h"

/* A large blob is sent to the disk while it is written, so that the fsync at its end is short. */
#define FLUSH_SIZE (32u << 20)

/* A large blob goes past the page cache, and leaves it to files that are needed. */
#define DIRECT_FROM (4u << 20) /* bytes of the blob */
#define STAGE_SIZE  (4u << 20)
/* Bytes of a blob before anyone is told how it grows. */
#define WATCHED_FROM (1u << 20)

struct sb_blob_writer {
    struct sb_store *store;
    int fd;
    char name[32]; /* in the process's tmp */
    struct sb_sha256 sha;
    uint64_t size, flushed;
    unsigned char *stage; /* whole pages for O_DIRECT, or NULL */
    size_t staged;
    uint64_t stage_offset; /* in the file */
    bool direct, tried;
    bool trusted; /* the digest is verified by others: no sha */
    struct sb_arriving *arriving;
    const struct sb_blob_watch *watch; /* or NULL */
    int shown;                         /* for reading, once the watch was told of it; or -1 */
    uint64_t told;
};

struct sb_blob_name sb_blob_name(const struct sb_digest *digest) {
    struct sb_blob_name name;
    snprintf(name.text, sizeof name.text, SB_BLOBS_DIRECTORY "/%s", sb_digest_hex(digest).text);
    return name;
}

char *sb_blob_path(const struct sb_digest *digest) {
    return sb_strdup(sb_blob_name(digest).text);
}

/* ---- reading ---- */

bool sb_blob_has(struct sb_store *store, const struct sb_digest *digest, uint64_t size) {
    if (sb_store_hold(store, NULL) < 0)
        return false;
    struct sb_blob_name name = sb_blob_name(digest);
    struct stat st;
    bool has = fstatat(store->fd, name.text, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               S_ISREG(st.st_mode) && (size == 0 || (uint64_t)st.st_size == size) &&
               utimensat(store->fd, name.text, NULL, AT_SYMLINK_NOFOLLOW) == 0;
    sb_store_release(store);
    return has;
}

static int open_blob(struct sb_store *store, const struct sb_digest *digest, uint64_t size,
                     struct sb_error *err) {
    struct sb_blob_name name = sb_blob_name(digest);
    sb_autoclose int fd = openat(store->fd, name.text, SB_FILE_FLAGS | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return sb_fail(err, SB_E_NOT_FOUND, "the blob %s is not in the store %s",
                       sb_digest_text(digest).text, store->path);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s/%s", store->path, name.text);
    if (!S_ISREG(st.st_mode))
        return sb_fail(err, SB_E_INTEGRITY, "%s/%s is not a regular file", store->path, name.text);
    if (size && (uint64_t)st.st_size != size) {
        sb_fail(err, SB_E_INTEGRITY, "%s/%s has %lld bytes, and should have %llu", store->path,
                name.text, (long long)st.st_size, (unsigned long long)size);
        return sb_error_hint(err, "remove the file, then build or pull the image again");
    }
    return sb_steal_fd(&fd);
}

static int open_used(struct sb_store *store, const struct sb_digest *digest, uint64_t size,
                     struct sb_error *err) {
    if (sb_store_hold(store, err) < 0)
        return -1;
    int fd = open_blob(store, digest, size, err);
    if (fd >= 0)
        futimens(fd, NULL); /* open, it can't be lost anyway */
    sb_store_release(store);
    return fd;
}

int sb_blob_open(struct sb_store *store, const struct sb_digest *digest, uint64_t size,
                 struct sb_error *err) {
    struct sb_descriptor blob = {.digest = *digest, .size = size};
    if (size > 0 && !sb_blob_has(store, digest, 0) && sb_blob_need(store, &blob, err) < 0)
        return -1;
    return open_used(store, digest, size, err);
}

static int read_verified(int fd, const struct sb_descriptor *descriptor, size_t limit,
                         struct sb_buf *out, struct sb_error *err) {
    size_t start = out->len;
    if (sb_fd_read(fd, limit, out, err) < 0)
        return sb_error_context(err, "the blob %s", sb_digest_text(&descriptor->digest).text);
    struct sb_digest digest = sb_digest_of(out->data + start, out->len - start);
    if (sb_digest_equal(&digest, &descriptor->digest))
        return 0;
    sb_fail(err, SB_E_INTEGRITY, "the content of the blob %s does not match its digest",
            sb_digest_text(&descriptor->digest).text);
    return sb_error_hint(err, "remove the file, then build or pull the image again");
}

static int check_limit(const struct sb_descriptor *descriptor, size_t limit, struct sb_error *err) {
    if (descriptor->size <= limit)
        return 0;
    return sb_fail(err, SB_E_FAILED, "the blob %s has %llu bytes, and at most %zu are allowed",
                   sb_digest_text(&descriptor->digest).text, (unsigned long long)descriptor->size,
                   limit);
}

int sb_blob_read(struct sb_store *store, const struct sb_descriptor *descriptor, size_t limit,
                 struct sb_buf *out, struct sb_error *err) {
    if (check_limit(descriptor, limit, err) < 0)
        return -1;
    sb_autoclose int fd = open_used(store, &descriptor->digest, descriptor->size, err);
    return fd < 0 ? -1 : read_verified(fd, descriptor, limit, out, err);
}

int sb_blob_peek(struct sb_store *store, const struct sb_descriptor *descriptor, size_t limit,
                 struct sb_buf *out, struct sb_error *err) {
    if (check_limit(descriptor, limit, err) < 0)
        return -1;
    sb_autoclose int fd = open_blob(store, &descriptor->digest, descriptor->size, err);
    return fd < 0 ? -1 : read_verified(fd, descriptor, limit, out, err);
}

/* ---- writing ---- */

int sb_blob_begin(struct sb_store *store, struct sb_blob_writer **out, struct sb_error *err) {
    *out = NULL;
    int tmp = sb_store_tmp_fd(store);
    if (tmp < 0) {
        sb_fail_errno(err, SB_E_IO, "creating %s", sb_store_tmp_path(store));
        return -1;
    }
    struct sb_blob_writer *writer = sb_alloc(sizeof *writer);
    writer->store = store;
    writer->shown = -1;
    writer->fd = sb_file_temporary(tmp, writer->name, err);
    if (writer->fd < 0) {
        free(writer);
        sb_error_context(err, "%s", sb_store_tmp_path(store));
        return -1;
    }
    sb_sha256_start(&writer->sha);
    *out = writer;
    return 0;
}

static void start_direct(struct sb_blob_writer *writer, uint64_t offset) {
    void *stage = NULL;
    writer->tried = true;
    if (!sb_direct_is_fast() || !sb_direct_set(writer->fd, true))
        return;
    if (posix_memalign(&stage, SB_DIRECT_ALIGNMENT, STAGE_SIZE) != 0) {
        sb_direct_set(writer->fd, false);
        return;
    }
    writer->direct = true;
    writer->stage = stage;
    writer->stage_offset = offset;
}

/* A file system that turns out not to take direct writes after all gets ordinary ones. */
static int write_stage(struct sb_blob_writer *writer, struct sb_error *err) {
    for (size_t done = 0; done < writer->staged;) {
        const unsigned char *p = writer->stage + done;
        size_t len = writer->staged - done;
        off_t offset = (off_t)(writer->stage_offset + done);
        ssize_t n = writer->direct ? sb_direct_pwrite(writer->fd, p, len, offset)
                                   : pwrite(writer->fd, p, len, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EINVAL && writer->direct) {
            sb_direct_set(writer->fd, false);
            writer->direct = false;
            continue;
        }
        if (n < 0)
            return sb_fail_errno(err, SB_E_IO, "writing a blob");
        done += (size_t)n;
    }
    writer->stage_offset += writer->staged;
    writer->staged = 0;
    return 0;
}

void sb_blob_announce(struct sb_blob_writer *writer, const struct sb_digest *digest) {
    writer->trusted = true;
    writer->arriving =
        sb_arriving_new(&writer->store->arrivals, digest, writer->store->tmp_fd, writer->name);
}

static int write_cached(struct sb_blob_writer *writer, const void *data, size_t len,
                        struct sb_error *err) {
    if (sb_fd_write(writer->fd, data, len, "a blob", err) < 0)
        return -1;
    uint64_t end = writer->size + len;
    if (end - writer->flushed >= FLUSH_SIZE) {
        sync_file_range(writer->fd, (off_t)writer->flushed, (off_t)(end - writer->flushed),
                        SYNC_FILE_RANGE_WRITE);
        writer->flushed = end;
    }
    return 0;
}

static int append_direct(struct sb_blob_writer *writer, const unsigned char *data, size_t len,
                         struct sb_error *err) {
    while (len > 0) {
        size_t room = STAGE_SIZE - writer->staged, n = len < room ? len : room;
        memcpy(writer->stage + writer->staged, data, n);
        writer->staged += n;
        data += n;
        len -= n;
        if (writer->staged < STAGE_SIZE)
            break;
        if (write_stage(writer, err) < 0)
            return -1;
    }
    return 0;
}

/* What is left in the stage is no whole number of blocks. */
static int end_direct(struct sb_blob_writer *writer, struct sb_error *err) {
    if (!writer->stage)
        return 0;
    if (writer->direct)
        sb_direct_set(writer->fd, false);
    writer->direct = false;
    if (write_stage(writer, err) < 0)
        return -1;
    free(sb_steal(writer->stage));
    if (lseek(writer->fd, (off_t)writer->stage_offset, SEEK_SET) < 0)
        return sb_fail_errno(err, SB_E_IO, "writing a blob");
    return 0;
}

static int append(struct sb_blob_writer *writer, const unsigned char *data, size_t len,
                  struct sb_error *err) {
    size_t odd = (size_t)(-writer->size % SB_DIRECT_ALIGNMENT);
    if (!writer->tried && writer->size >= DIRECT_FROM && len > odd) {
        if (write_cached(writer, data, odd, err) < 0)
            return -1;
        data += odd;
        len -= odd;
        start_direct(writer, writer->size + odd);
    }
    if (!writer->stage)
        return write_cached(writer, data, len, err);
    if (append_direct(writer, data, len, err) < 0)
        return -1;
    return sb_direct_is_fast() ? 0 : end_direct(writer, err);
}

void sb_blob_set_watch(struct sb_blob_writer *writer, const struct sb_blob_watch *watch) {
    writer->watch = watch;
}

/* A descriptor of its own: the writer's has O_DIRECT, and moves. A small blob isn't worth it. */
static void tell_watch(struct sb_blob_writer *writer) {
    uint64_t size = writer->size - writer->staged;
    if (!writer->watch || size < WATCHED_FROM || size == writer->told)
        return;
    if (writer->shown < 0)
        writer->shown = openat(writer->store->tmp_fd, writer->name, SB_FILE_FLAGS | O_NOFOLLOW);
    if (writer->shown < 0)
        return;
    writer->told = size;
    writer->watch->grow(writer->watch->data, writer->shown, size);
}

int sb_blob_append(struct sb_blob_writer *writer, const void *data, size_t len,
                   struct sb_error *err) {
    if (append(writer, data, len, err) < 0) {
        sb_error_context(err, "the store %s", writer->store->path);
        return sb_room_explain(writer->store->fd, err);
    }
    if (!writer->trusted)
        sb_sha256_add(&writer->sha, data, len);
    writer->size += len;
    if (writer->arriving)
        sb_arriving_written(writer->arriving, writer->size - writer->staged);
    tell_watch(writer);
    return 0;
}

static void end(struct sb_blob_writer *writer, bool good) {
    sb_arriving_end(writer->arriving, good);
    if (writer->watch && writer->told > 0)
        writer->watch->grow(writer->watch->data, -1, 0);
    sb_close_descriptor(&writer->shown);
    sb_close_descriptor(&writer->fd);
    if (writer->name[0])
        unlinkat(writer->store->tmp_fd, writer->name, 0);
    free(writer->stage);
    free(writer);
}

void sb_blob_abort(struct sb_blob_writer *writer) {
    if (writer)
        end(writer, false);
}

static void note_written(struct sb_store *store, const struct sb_digest *digest) {
    pthread_mutex_lock(&store->mutex);
    SB_GROW(store->written, store->written_count, store->written_cap);
    store->written[store->written_count++] = *digest;
    pthread_mutex_unlock(&store->mutex);
}

static int publish(struct sb_blob_writer *writer, const struct sb_digest *digest,
                   struct sb_error *err) {
    struct sb_store *store = writer->store;
    struct sb_blob_name name = sb_blob_name(digest);
    if (end_direct(writer, err) < 0)
        return sb_error_context(err, "the store %s", store->path);
    int failed = fchmod(writer->fd, 0644) < 0 || fsync(writer->fd) < 0;
    if (failed || close(sb_steal_fd(&writer->fd)) < 0 ||
        renameat(store->tmp_fd, writer->name, store->fd, name.text) < 0)
        return sb_fail_errno(err, SB_E_IO, "writing %s/%s", store->path, name.text);
    writer->name[0] = '\0';
    if (writer->size >= DIRECT_FROM)
        note_written(store, digest);
    return 0;
}

bool sb_blob_is_written(struct sb_store *store, const struct sb_digest *digest) {
    bool found = false;
    pthread_mutex_lock(&store->mutex);
    for (size_t i = 0; !found && i < store->written_count; i++)
        found = sb_digest_equal(&store->written[i], digest);
    pthread_mutex_unlock(&store->mutex);
    return found;
}

int sb_blob_commit(struct sb_blob_writer *writer, const struct sb_digest *expected,
                   struct sb_digest *out_digest, uint64_t *out_size, struct sb_error *err) {
    bool trusted = writer->trusted && expected;
    struct sb_digest digest = trusted ? *expected : sb_sha256_finish(&writer->sha);
    int failed = 0;
    if (writer->trusted && !expected)
        failed = sb_fail(err, SB_E_FAILED, "a blob that nobody has verified");
    else if (expected && !sb_digest_equal(&digest, expected))
        failed = sb_fail(err, SB_E_INTEGRITY, "the content has the digest %s, and should have %s",
                         sb_digest_text(&digest).text, sb_digest_text(expected).text);
    else if (writer->size == 0 || !sb_blob_has(writer->store, &digest, writer->size))
        failed = publish(writer, &digest, err);
    if (!failed && out_digest)
        *out_digest = digest;
    if (!failed && out_size)
        *out_size = writer->size;
    if (!failed)
        writer->watch = NULL;
    end(writer, !failed);
    return failed;
}

int sb_blob_put(struct sb_store *store, const void *data, size_t len, struct sb_digest *out_digest,
                struct sb_error *err) {
    struct sb_digest digest = sb_digest_of(data, len);
    struct sb_blob_writer *writer;
    if (len == 0 || !sb_blob_has(store, &digest, len)) {
        if (sb_blob_begin(store, &writer, err) < 0)
            return -1;
        if (sb_blob_append(writer, data, len, err) < 0) {
            sb_blob_abort(writer);
            return -1;
        }
        if (sb_blob_commit(writer, &digest, NULL, NULL, err) < 0)
            return -1;
    }
    if (out_digest)
        *out_digest = digest;
    return 0;
}
