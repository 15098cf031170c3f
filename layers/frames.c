#include "layers/frames.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "layers/compressor.h"

/* Hashing is one thread's work by nature, and about six times as fast as zstd's level 3: more
 * threads than this would wait, and each costs two frames of memory. */
#define THREADS_DEFAULT 12
#define THREADS_MAX     64
/* Frames beyond those being compressed: one is filled, one hashed or written, two are in store. */
#define RING_EXTRA 4
/* A frame's memory starts with this much and grows, so that a small layer touches little. */
#define FRAME_START (128u << 10)

struct frame {
    unsigned char *data; /* cap + 1 bytes */
    size_t len, cap;
    unsigned char *packed;
    size_t packed_len, packed_cap;
    bool compressed;
};

/* Frames are numbered from 0; number N stands in ring[N % ring_size] until it is both hashed and
 * written. lock guards all but what is the caller's own; a frame's content belongs to whoever does
 * a job on it, and may be read by two. */
struct sb_frames {
    enum sb_compression method;
    int level;
    struct sb_blob_writer *blob;
    struct sb_compressor *compressor; /* the caller's */
    struct frame *current;            /* the one that the caller fills, or NULL */
    uint64_t size;

    pthread_mutex_t lock;
    pthread_cond_t work, room;
    uint64_t filled, compressing, hashed, written; /* how many frames have got so far */
    bool hashing, writing, closed, failed;
    struct sb_sha256 diff;
    struct sb_error error;
    pthread_t threads[THREADS_MAX];
    int thread_count, thread_limit;
    size_t ring_size;
    struct frame ring[THREADS_MAX + RING_EXTRA];
};

enum job { JOB_NONE, JOB_WRITE, JOB_HASH, JOB_COMPRESS };

static struct frame *frame_at(struct sb_frames *f, uint64_t number) {
    return &f->ring[number % f->ring_size];
}

/* ---- jobs; those that must keep the order come first, for all else waits for them ---- */

/* Under the lock: takes the next job there is, and its frame. */
static enum job take_job(struct sb_frames *f, struct frame **out) {
    sb_assert_locked(&f->lock);
    if (!f->writing && f->written < f->filled && frame_at(f, f->written)->compressed) {
        f->writing = true;
        *out = frame_at(f, f->written);
        return JOB_WRITE;
    }
    if (!f->hashing && f->hashed < f->filled) {
        f->hashing = true;
        *out = frame_at(f, f->hashed);
        return JOB_HASH;
    }
    if (f->compressing < f->filled) {
        *out = frame_at(f, f->compressing++);
        return JOB_COMPRESS;
    }
    return JOB_NONE;
}

static int compress_frame(struct sb_frames *f, struct sb_compressor *compressor,
                          struct frame *frame, struct sb_error *err) {
    size_t bound = sb_compressor_bound(f->method, frame->len);
    if (frame->packed_cap < bound) {
        free(frame->packed);
        frame->packed = sb_realloc(NULL, bound, 1);
        frame->packed_cap = bound;
    }
    return sb_compressor_frame(compressor, frame->data, frame->len, frame->packed,
                               frame->packed_cap, &frame->packed_len, err);
}

static int write_frame(struct sb_frames *f, const struct frame *frame, struct sb_error *err) {
    if (f->method == SB_COMPRESSION_NONE)
        return sb_blob_append(f->blob, frame->data, frame->len, err);
    return sb_blob_append(f->blob, frame->packed, frame->packed_len, err);
}

/* Without the lock. */
static int do_job(struct sb_frames *f, enum job job, struct sb_compressor *compressor,
                  struct frame *frame, struct sb_error *err) {
    if (job == JOB_WRITE)
        return write_frame(f, frame, err);
    if (job == JOB_COMPRESS)
        return compress_frame(f, compressor, frame, err);
    sb_sha256_add(&f->diff, frame->data, frame->len);
    return 0;
}

/* Under the lock again. */
static void job_done(struct sb_frames *f, enum job job, struct frame *frame) {
    sb_assert_locked(&f->lock);
    if (job == JOB_COMPRESS)
        frame->compressed = true;
    if (job == JOB_WRITE) {
        f->writing = false;
        f->written++;
    } else if (job == JOB_HASH) {
        f->hashing = false;
        f->hashed++;
    }
    sb_assert(f->written <= f->compressing && f->hashed <= f->filled);
    if (job != JOB_COMPRESS)
        pthread_cond_signal(&f->room);
    if (f->closed)
        pthread_cond_broadcast(&f->work);
}

static void fail(struct sb_frames *f, const struct sb_error *err) {
    sb_assert_locked(&f->lock);
    if (!f->failed)
        f->error = *err;
    f->failed = true;
    pthread_cond_broadcast(&f->work);
    pthread_cond_broadcast(&f->room);
}

/* Under the lock, which is let go meanwhile: does one job; false when there is none. */
static bool work_once(struct sb_frames *f, struct sb_compressor *compressor) {
    sb_assert_locked(&f->lock);
    struct frame *frame = NULL;
    enum job job = take_job(f, &frame);
    if (job == JOB_NONE)
        return false;
    pthread_mutex_unlock(&f->lock);
    struct sb_error err = {0};
    int failed = do_job(f, job, compressor, frame, &err);
    pthread_mutex_lock(&f->lock);
    if (failed)
        fail(f, &err);
    else
        job_done(f, job, frame);
    return true;
}

/* Under the lock: works until all is done that ever will be. */
static void work_to_end(struct sb_frames *f, struct sb_compressor *compressor) {
    while (!f->failed) {
        if (work_once(f, compressor))
            continue;
        if (f->closed && f->written == f->filled && f->hashed == f->filled)
            break;
        pthread_cond_wait(&f->work, &f->lock);
    }
}

static void *thread_main(void *self) {
    struct sb_frames *f = self;
    struct sb_compressor *compressor = sb_compressor_new(f->method, f->level);
    pthread_mutex_lock(&f->lock);
    work_to_end(f, compressor);
    pthread_mutex_unlock(&f->lock);
    sb_compressor_free(compressor);
    return NULL;
}

/* A machine that has no thread to give gets the work done by those there are. */
static void start_thread(struct sb_frames *f) {
    if (f->thread_count == f->thread_limit)
        return;
    if (sb_thread_start(&f->threads[f->thread_count], thread_main, f) == 0)
        f->thread_count++;
    else
        f->thread_limit = f->thread_count;
}

/* ---- the caller's side ---- */

static int default_threads(void) {
    int n = sb_core_count();
    return n < THREADS_DEFAULT ? n : THREADS_DEFAULT;
}

int sb_frames_start(struct sb_store *store, const struct sb_pack_options *options,
                    struct sb_frames **out, struct sb_error *err) {
    int level;
    if (sb_compressor_level(options->compression, options->level, &level, err) < 0)
        return -1;
    struct sb_blob_writer *blob;
    if (sb_blob_begin(store, &blob, err) < 0)
        return -1;
    sb_blob_set_watch(blob, options->watch);
    struct sb_frames *f = sb_alloc(sizeof *f);
    f->method = options->compression;
    f->level = level;
    f->blob = blob;
    int threads = options->threads > 0 ? options->threads : default_threads();
    f->thread_limit = threads < THREADS_MAX ? threads : THREADS_MAX;
    f->ring_size = (size_t)f->thread_limit + RING_EXTRA;
    f->compressor = sb_compressor_new(f->method, f->level);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->work, NULL);
    pthread_cond_init(&f->room, NULL);
    sb_sha256_start(&f->diff);
    *out = f;
    return 0;
}

/* Gives the current frame to the threads. */
static void hand_over(struct sb_frames *f) {
    struct frame *frame = f->current;
    sb_assert(frame && frame->len <= SB_FRAME_SIZE);
    f->current = NULL;
    f->size += frame->len;
    pthread_mutex_lock(&f->lock);
    f->filled++;
    if (f->method == SB_COMPRESSION_NONE) { /* the blob's digest is that of the tar */
        frame->compressed = true;
        f->compressing = f->hashed = f->filled;
    }
    pthread_cond_broadcast(&f->work);
    pthread_mutex_unlock(&f->lock);
}

static bool ring_is_full(const struct sb_frames *f) {
    sb_assert_locked(&f->lock);
    uint64_t done = f->hashed < f->written ? f->hashed : f->written;
    return f->filled - done == f->ring_size;
}

/* Waits for a frame to fill. */
static int next_frame(struct sb_frames *f, struct sb_error *err) {
    if (sb_interrupt_check(err) < 0)
        return -1;
    if (f->filled > 0)
        start_thread(f);
    pthread_mutex_lock(&f->lock);
    while (!f->failed && ring_is_full(f)) {
        if (f->thread_count == 0)
            work_once(f, f->compressor);
        else
            pthread_cond_wait(&f->room, &f->lock);
    }
    bool failed = f->failed;
    if (failed && err)
        *err = f->error;
    pthread_mutex_unlock(&f->lock);
    if (failed)
        return -1;
    f->current = frame_at(f, f->filled);
    f->current->len = 0;
    f->current->compressed = false;
    return 0;
}

static void grow(struct frame *frame, bool first) {
    frame->cap = frame->cap ? frame->cap * 4 : first ? FRAME_START : SB_FRAME_SIZE;
    if (frame->cap > SB_FRAME_SIZE)
        frame->cap = SB_FRAME_SIZE;
    frame->data = sb_realloc(frame->data, frame->cap + 1, 1);
}

unsigned char *sb_frames_room(struct sb_frames *frames, size_t *out_room, struct sb_error *err) {
    if (frames->current && frames->current->len == SB_FRAME_SIZE)
        hand_over(frames);
    if (!frames->current && next_frame(frames, err) < 0)
        return NULL;
    struct frame *frame = frames->current;
    if (frame->len == frame->cap)
        grow(frame, frame == &frames->ring[0]);
    *out_room = frame->cap - frame->len;
    return frame->data + frame->len;
}

void sb_frames_advance(struct sb_frames *frames, size_t len) {
    sb_assert(frames->current && len <= frames->current->cap - frames->current->len);
    frames->current->len += len;
}

int sb_frames_put(struct sb_frames *frames, const void *data, size_t len, struct sb_error *err) {
    const unsigned char *p = data;
    while (len > 0) {
        size_t room;
        unsigned char *to = sb_frames_room(frames, &room, err);
        if (!to)
            return -1;
        size_t n = len < room ? len : room;
        memcpy(to, p, n);
        sb_frames_advance(frames, n);
        p += n;
        len -= n;
    }
    return 0;
}

int sb_frames_put_zeros(struct sb_frames *frames, uint64_t len, struct sb_error *err) {
    while (len > 0) {
        size_t room;
        unsigned char *to = sb_frames_room(frames, &room, err);
        if (!to)
            return -1;
        size_t n = len < room ? (size_t)len : room;
        memset(to, 0, n);
        sb_frames_advance(frames, n);
        len -= n;
    }
    return 0;
}

/* ---- the end ---- */

/* Ends the threads, and frees all but the blob's writer. */
static void release(struct sb_frames *f) {
    for (int i = 0; i < f->thread_count; i++)
        pthread_join(f->threads[i], NULL);
    for (size_t i = 0; i < f->ring_size; i++) {
        free(f->ring[i].data);
        free(f->ring[i].packed);
    }
    sb_compressor_free(f->compressor);
    pthread_cond_destroy(&f->room);
    pthread_cond_destroy(&f->work);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void sb_frames_abort(struct sb_frames *frames) {
    if (!frames)
        return;
    struct sb_blob_writer *blob = frames->blob;
    pthread_mutex_lock(&frames->lock);
    fail(frames, &(struct sb_error){.code = SB_E_INTERRUPTED});
    pthread_mutex_unlock(&frames->lock);
    release(frames);
    sb_blob_abort(blob);
}

static const char *media_type(enum sb_compression method) {
    switch (method) {
    case SB_COMPRESSION_ZSTD:
        return SB_MEDIA_LAYER_ZSTD;
    case SB_COMPRESSION_GZIP:
        return SB_MEDIA_LAYER_GZIP;
    default:
        return SB_MEDIA_LAYER_TAR;
    }
}

int sb_frames_finish(struct sb_frames *frames, struct sb_layer *out, struct sb_error *err) {
    struct sb_frames *f = frames;
    if (f->current)
        hand_over(f);
    pthread_mutex_lock(&f->lock);
    f->closed = true;
    pthread_cond_broadcast(&f->work);
    work_to_end(f, f->compressor);
    bool failed = f->failed;
    if (failed && err)
        *err = f->error;
    pthread_mutex_unlock(&f->lock);
    if (failed) {
        sb_frames_abort(f);
        return -1;
    }
    struct sb_layer layer = {.tar_size = f->size, .diff_id = sb_sha256_finish(&f->diff)};
    layer.descriptor.media_type = media_type(f->method);
    bool plain = f->method == SB_COMPRESSION_NONE;
    struct sb_blob_writer *blob = f->blob;
    release(f);
    if (sb_blob_commit(blob, NULL, &layer.descriptor.digest, &layer.descriptor.size, err) < 0)
        return -1;
    if (plain)
        layer.diff_id = layer.descriptor.digest;
    *out = layer;
    return 0;
}
