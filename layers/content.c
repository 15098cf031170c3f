#include "layers/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"
#include "base/uncached.h"
#include "layers/attributes.h"
#include "layers/block.h"
#include "layers/direct.h"

#define HOLE_SIZE     (32u << 10)  /* zeros of this length, so aligned, are left as a hole */
#define SPARSE_FROM   (128u << 10) /* in files of at least this size */
#define UNCACHED_FROM (128u << 10) /* such files go past the page cache */
#define DIRECT_FROM   (64u << 10)  /* bytes at a time */

/* Threads start when there was this much to do. */
#define ALONE_BYTES (4u << 20)
#define ALONE_FILES 128

#define THREADS_MAX    4
#define QUEUE_MAX      (THREADS_MAX + 1) /* one more than there are threads */
#define BATCH_PARTS    16
#define BATCH_BYTES    (256u << 10)
#define UNFINISHED_MAX 128 /* files that are not finished; less where there are few descriptors */

/* A file that is not finished yet. */
struct file {
    int fd;
    struct sb_entry entry; /* path and xattrs are its own */
    uint64_t end;          /* of what was written here */
    bool split;            /* into parts of several batches */
    bool busy;             /* a thread has one of those */
    size_t alignment;      /* of memory that can be written past the page cache; 0: none */
};

/* Some bytes of a file. */
struct part {
    struct file *file;
    const unsigned char *data;
    size_t len;
    uint64_t offset;
    struct sb_block *block; /* that data lies in, or else */
    void *copy;
    bool last;
};

struct batch {
    struct file *shared; /* has parts in other batches too; the only file of this one. Or NULL */
    size_t count, bytes;
    struct part parts[BATCH_PARTS];
};

struct sb_content_writer {
    const struct sb_unpack_options *options;
    struct batch *filling; /* the caller's; NULL while it is empty */
    struct file *open;     /* the caller's: its last part is still to come */
    uint64_t files, bytes; /* so far */
    size_t open_limit;

    pthread_t threads[THREADS_MAX];
    int thread_count;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct batch *queue[QUEUE_MAX];     /* in order */
    size_t queued, running, unfinished; /* batches, batches, files */
    bool end, failed;
    struct sb_error error;
};

/* ---- one file ---- */

static struct file *file_new(int fd, const struct sb_entry *entry) {
    struct file *file = sb_alloc(sizeof *file);
    file->fd = fd;
    sb_entry_copy(&file->entry, entry);
    if (entry->size >= UNCACHED_FROM)
        file->alignment = sb_direct_alignment(fd);
    return file;
}

static void file_free(struct file *file) {
    if (!file)
        return;
    sb_close_descriptor(&file->fd);
    sb_entry_free(&file->entry);
    free(file);
}

static int write_at(int fd, const unsigned char *p, size_t len, uint64_t offset,
                    ssize_t (*write)(int fd, const void *data, size_t len, off_t offset),
                    struct sb_error *err) {
    while (len > 0) {
        ssize_t n = write(fd, p, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sb_fail_errno(err, SB_E_IO, "writing");
        p += n;
        len -= (size_t)n;
        offset += (size_t)n;
    }
    return 0;
}

/* As much as goes past the page cache by itself. Whatever goes wrong does so again with the rest.
 */
static size_t write_direct(struct file *file, const unsigned char *p, size_t len, uint64_t offset) {
    size_t done = 0;
    if (file->alignment == 0 || len < DIRECT_FROM || (uintptr_t)p % file->alignment != 0 ||
        !sb_direct_is_fast() || !sb_direct_set(file->fd, true))
        return 0;
    while (done < len && done % SB_DIRECT_ALIGNMENT == 0) {
        ssize_t n = sb_direct_pwrite(file->fd, p + done, len - done, (off_t)(offset + done));
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    sb_direct_set(file->fd, false);
    return done;
}

/* Pages that are not full yet go into the cache after all: what follows in them would have to wait
 * until they are on the disk, and to read them back. */
static int write_range(struct file *file, const unsigned char *p, size_t len, uint64_t offset,
                       struct sb_error *err) {
    size_t head = (size_t)(-offset % SB_DIRECT_ALIGNMENT);
    size_t tail = (size_t)((offset + len) % SB_DIRECT_ALIGNMENT);
    if (len > 0)
        file->end = offset + len;
    if (file->entry.size < UNCACHED_FROM || head + tail >= len)
        return write_at(file->fd, p, len, offset, pwrite, err);
    if (write_at(file->fd, p, head, offset, pwrite, err) < 0 ||
        write_at(file->fd, p + len - tail, tail, offset + len - tail, pwrite, err) < 0)
        return -1;
    size_t done = write_direct(file, p + head, len - head - tail, offset + head);
    return write_at(file->fd, p + head + done, len - head - tail - done, offset + head + done,
                    sb_pwrite_uncached, err);
}

static bool is_zero(const unsigned char *p, size_t len) {
    return p[0] == 0 && (len == 1 || memcmp(p, p + 1, len - 1) == 0);
}

/* Writes all but the blocks of zeros, cut as the pieces that data comes in may have them. */
static int write_sparse(struct file *file, const unsigned char *p, size_t len, uint64_t offset,
                        struct sb_error *err) {
    size_t from = 0, at = 0;
    if (len == 0) /* the end of a file without data: p is nothing that can be added to */
        return 0;
    while (at < len) {
        size_t n = HOLE_SIZE - (size_t)((offset + at) % HOLE_SIZE);
        if (n > len - at)
            n = len - at;
        if (is_zero(p + at, n)) {
            if (write_range(file, p + from, at - from, offset + from, err) < 0)
                return -1;
            from = at + n;
        }
        at += n;
    }
    return write_range(file, p + from, len - from, offset + from, err);
}

static int finish_file(struct file *file, const struct sb_unpack_options *options,
                       struct sb_error *err) {
    if (file->end < file->entry.size && ftruncate(file->fd, (off_t)file->entry.size) < 0)
        return sb_fail_errno(err, SB_E_IO, "sizing %s", file->entry.path);
    if (sb_attributes_set(file->fd, &file->entry, options, err) < 0)
        return -1;
    if (close(sb_steal_fd(&file->fd)) < 0)
        return sb_fail_errno(err, SB_E_IO, "writing %s", file->entry.path);
    return 0;
}

static int write_part(const struct part *part, const struct sb_unpack_options *options,
                      struct sb_error *err) {
    struct file *file = part->file;
    int rc = file->entry.size < SPARSE_FROM
                 ? write_range(file, part->data, part->len, part->offset, err)
                 : write_sparse(file, part->data, part->len, part->offset, err);
    if (rc < 0)
        return sb_error_context(err, "%s", file->entry.path);
    return part->last ? finish_file(file, options, err) : 0;
}

/* ---- the threads ---- */

/* Writes a batch, or just gives up what it holds. Of the file that it shares with others nothing is
 * freed but by whoever has the last part. */
static int write_batch(struct batch *batch, const struct sb_unpack_options *options, bool give_up,
                       struct sb_error *err) {
    int rc = give_up ? -1 : 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct part *part = &batch->parts[i];
        if (rc == 0)
            rc = write_part(part, options, err);
        sb_block_release(part->block);
        free(part->copy);
        if (part->last && part->file != batch->shared)
            file_free(part->file);
    }
    return give_up ? 0 : rc;
}

/* Under the lock: the first batch whose file no other thread is at. */
static struct batch *take_batch(struct sb_content_writer *w) {
    sb_assert_locked(&w->lock);
    for (size_t i = 0; i < w->queued; i++) {
        struct batch *batch = w->queue[i];
        if (batch->shared && batch->shared->busy)
            continue;
        if (batch->shared)
            batch->shared->busy = true;
        memmove(&w->queue[i], &w->queue[i + 1], (--w->queued - i) * sizeof(struct batch *));
        w->running++;
        return batch;
    }
    return NULL;
}

/* Under the lock. */
static void batch_done(struct sb_content_writer *w, struct batch *batch) {
    sb_assert_locked(&w->lock);
    sb_assert(w->running > 0);
    if (batch->shared)
        batch->shared->busy = false;
    if (batch->shared && batch->parts[batch->count - 1].last)
        file_free(batch->shared);
    for (size_t i = 0; i < batch->count; i++)
        w->unfinished -= batch->parts[i].last ? 1 : 0;
    free(batch);
    w->running--;
    pthread_cond_signal(&w->done);
}

static void *run(void *self) {
    struct sb_content_writer *w = self;
    struct sb_error *err = sb_alloc(sizeof *err);
    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct batch *batch = take_batch(w);
        if (!batch && w->end && w->queued == 0)
            break;
        if (!batch) {
            pthread_cond_wait(&w->work, &w->lock);
            continue;
        }
        bool give_up = w->failed;
        pthread_mutex_unlock(&w->lock);
        int rc = write_batch(batch, w->options, give_up, err);
        pthread_mutex_lock(&w->lock);
        if (rc < 0 && !w->failed)
            w->error = *err;
        w->failed = w->failed || rc < 0;
        batch_done(w, batch);
        if (w->queued > 0 || w->end) /* what waited for this file */
            pthread_cond_broadcast(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    free(err);
    return NULL;
}

/* Fewer threads than wanted, or none, will do. */
static void start_threads(struct sb_content_writer *w) {
    int cores = sb_core_count();
    int wanted = cores < 2 ? 0 : cores < THREADS_MAX ? cores : THREADS_MAX;
    while (w->thread_count < wanted && sb_thread_start(&w->threads[w->thread_count], run, w) == 0)
        w->thread_count++;
}

static void stop_threads(struct sb_content_writer *w) {
    pthread_mutex_lock(&w->lock);
    w->end = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->thread_count; i++)
        pthread_join(w->threads[i], NULL);
    w->thread_count = 0;
}

/* ---- the caller's side ---- */

/* Under the lock. */
static int failure(struct sb_content_writer *w, struct sb_error *err) {
    sb_assert_locked(&w->lock);
    if (w->failed && err)
        *err = w->error;
    return w->failed ? -1 : 0;
}

static int hand_over(struct sb_content_writer *w, struct sb_error *err) {
    struct batch *batch = sb_steal(w->filling);
    if (!batch)
        return 0;
    pthread_mutex_lock(&w->lock);
    while (w->queued > (size_t)w->thread_count)
        pthread_cond_wait(&w->done, &w->lock);
    w->queue[w->queued++] = batch;
    pthread_cond_signal(&w->work);
    int rc = failure(w, err);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

/* Adds some bytes of the open file. Those of a split one go alone. */
static int add_part(struct sb_content_writer *w, const struct part *part, struct sb_error *err) {
    struct batch *batch = w->filling;
    bool full = batch && (batch->count == BATCH_PARTS || batch->bytes > BATCH_BYTES);
    if (batch && (full || batch->shared || part->file->split) && hand_over(w, err) < 0)
        return -1;
    if (!w->filling)
        w->filling = sb_alloc(sizeof *w->filling);
    batch = w->filling;
    batch->parts[batch->count++] = *part;
    batch->bytes += part->len;
    batch->shared = part->file->split ? part->file : NULL;
    return 0;
}

static struct part part_of(struct file *file, struct sb_entry_data *data, const void *p, size_t len,
                           uint64_t offset) {
    struct part part = {.file = file, .data = p, .len = len, .offset = offset};
    if (len > 0 && !(part.block = sb_entry_data_hold(data, p, len)))
        part.data = part.copy = sb_memdup(p, len);
    return part;
}

/* What is next of a file, which may have come already. */
static int next_data(struct sb_entry_data *data, const struct sb_content_begun **begun,
                     const void **out, size_t *out_len, uint64_t *out_offset,
                     struct sb_error *err) {
    if (!*begun)
        return sb_entry_data_next(data, out, out_len, out_offset, err);
    *out = (*begun)->data;
    *out_len = (*begun)->len;
    *out_offset = (*begun)->offset;
    *begun = NULL;
    return 0;
}

static int write_alone(struct sb_content_writer *w, struct file *file, struct sb_entry_data *data,
                       const struct sb_content_begun *begun, struct sb_error *err) {
    struct part part = {.file = file, .data = (const unsigned char *)"", .last = false};
    while (!part.last) {
        const void *p;
        if (next_data(data, &begun, &p, &part.len, &part.offset, err) < 0)
            return -1;
        part.last = part.len == 0;
        part.data = part.last ? part.data : p;
        if (write_part(&part, w->options, err) < 0)
            return -1;
    }
    return 0;
}

/* Waits until fewer files are open than may be. */
static int count_file(struct sb_content_writer *w, struct sb_error *err) {
    pthread_mutex_lock(&w->lock);
    bool full = w->unfinished >= w->open_limit;
    pthread_mutex_unlock(&w->lock);
    if (full && hand_over(w, err) < 0)
        return -1;
    pthread_mutex_lock(&w->lock);
    while (w->unfinished >= w->open_limit)
        pthread_cond_wait(&w->done, &w->lock);
    w->unfinished++;
    pthread_mutex_unlock(&w->lock);
    return 0;
}

static int write_by_threads(struct sb_content_writer *w, const struct sb_entry *entry,
                            struct sb_entry_data *data, const struct sb_content_begun *begun,
                            struct sb_error *err) {
    struct file *file = w->open;
    if (count_file(w, err) < 0)
        return -1;
    const void *p;
    size_t len = 1;
    uint64_t offset;
    for (bool first = true; len > 0; first = false) {
        if (next_data(data, &begun, &p, &len, &offset, err) < 0)
            return -1;
        if (len == 0 && !first)
            break;
        if (first)
            file->split = len < entry->size;
        struct part part = part_of(file, data, p, len, offset);
        if (add_part(w, &part, err) < 0) {
            sb_block_release(part.block);
            free(part.copy);
            return -1;
        }
    }
    w->filling->parts[w->filling->count - 1].last = true;
    w->open = NULL;
    return 0;
}

struct sb_content_writer *sb_content_writer_new(const struct sb_unpack_options *options) {
    struct sb_content_writer *w = sb_alloc(sizeof *w);
    w->options = options;
    struct rlimit descriptors;
    w->open_limit = UNFINISHED_MAX;
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0 && descriptors.rlim_cur / 8 < UNFINISHED_MAX)
        w->open_limit = descriptors.rlim_cur < 16 ? 2 : (size_t)descriptors.rlim_cur / 8;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->done, NULL);
    return w;
}

int sb_content_write(struct sb_content_writer *w, int fd, const struct sb_entry *entry,
                     struct sb_entry_data *data, const struct sb_content_begun *begun,
                     struct sb_error *err) {
    if (w->thread_count == 0 && (w->bytes > ALONE_BYTES || w->files > ALONE_FILES))
        start_threads(w);
    w->files++;
    w->bytes += entry->size;
    w->open = file_new(fd, entry);
    if (w->thread_count > 0)
        return write_by_threads(w, entry, data, begun, err);
    int rc = write_alone(w, w->open, data, begun, err);
    file_free(sb_steal(w->open));
    return rc;
}

int sb_content_wait(struct sb_content_writer *w, struct sb_error *err) {
    if (hand_over(w, err) < 0)
        return -1;
    pthread_mutex_lock(&w->lock);
    while (w->queued > 0 || w->running > 0)
        pthread_cond_wait(&w->done, &w->lock);
    int rc = failure(w, err);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

void sb_content_writer_free(struct sb_content_writer *w) {
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->failed = true;
    pthread_mutex_unlock(&w->lock);
    stop_threads(w);
    if (w->filling) {
        write_batch(w->filling, w->options, true, NULL);
        if (w->filling->shared && w->filling->shared != w->open)
            file_free(w->filling->shared);
        free(w->filling);
    }
    file_free(w->open);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->done);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
