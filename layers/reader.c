/*
 * The reader of a blob starts on its caller's thread alone. Once a stream turns out longer than one
 * frame, the work is spread out, over a ring of pieces:
 *
 *     producer: reads the file, takes the blob's digest, cuts frames (or decodes, if it must)
 *     workers:  decode frames
 *     hasher:   takes the tar's digest, in order
 *     caller:   gets the pieces, in order
 *
 * Each keeps a count of the pieces it is done with; a piece is filled anew once hasher and caller
 * are both past it. One lock and one condition suffice: a piece is megabytes.
 */
#include "layers/reader.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "layers/arriving.h"
#include "layers/decode.h"
#include "layers/store_private.h"

/* More decoders than this wait for the hasher anyway. */
#define WORKERS_MAX 4
#define RING_MAX    (WORKERS_MAX + 3)

struct slot {
    struct sb_piece piece;
    bool ready; /* decoded */
};

struct sb_layer_reader {
    struct sb_decoder *decoder;
    struct sb_descriptor expected;
    bool verify;
    struct sb_sha256 sha;
    uint64_t tar_size, limit;
    ZSTD_DCtx *context; /* of the caller's thread */
    bool at_end;

    bool keeps_blocks;
    bool threaded, holding; /* holding: the caller has piece `consumed` */
    int workers, ring;
    struct slot slots[RING_MAX];
    pthread_t threads[WORKERS_MAX + 2];
    int thread_count;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t filled, taken, hashed, consumed, end; /* end: UINT64_MAX until it is known */
    atomic_bool stop;
    struct sb_error failure;
};

/* ---- start and end ---- */

/* Tests make it smaller by the environment; nobody can make it larger. */
static uint64_t tar_limit(void) {
    const char *text = getenv("SBUILD_TAR_LIMIT");
    char *end;
    unsigned long long limit = text && *text ? strtoull(text, &end, 10) : 0;
    return limit > 0 && !*end && limit < SB_TAR_LIMIT ? limit : SB_TAR_LIMIT;
}

/* How much tar that many packed bytes may be. */
uint64_t sb_unpack_limit(uint64_t size) {
    uint64_t least = tar_limit();
    if (size <= least / SB_TAR_RATIO)
        return least;
    return size < UINT64_MAX / SB_TAR_RATIO ? size * SB_TAR_RATIO : UINT64_MAX;
}

static struct sb_layer_reader *reader_new(int fd, uint64_t limit, bool hash) {
    struct sb_layer_reader *r = sb_alloc(sizeof *r);
    r->decoder = sb_decoder_new(fd, limit, hash, &r->stop);
    r->limit = sb_unpack_limit(0);
    r->end = UINT64_MAX;
    sb_sha256_start(&r->sha);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    return r;
}

static int open_blob(struct sb_store *store, const struct sb_descriptor *descriptor, bool known,
                     struct sb_layer_reader **out, struct sb_error *err) {
    int fd;
    struct sb_arriving *arriving =
        known ? sb_arriving_follow(&store->arrivals, &descriptor->digest, &fd) : NULL;
    if (!arriving && (fd = sb_blob_open(store, &descriptor->digest, descriptor->size, err)) < 0)
        return -1;
    known = arriving || (known && sb_blob_is_written(store, &descriptor->digest));
    struct sb_layer_reader *r = reader_new(fd, descriptor->size, !known);
    r->expected = *descriptor;
    r->verify = !known;
    if (known)
        sb_decoder_read_direct(r->decoder);
    sb_decoder_follow(r->decoder, arriving);
    r->limit = sb_unpack_limit(descriptor->size);
    *out = r;
    return 0;
}

int sb_layer_reader_open(struct sb_store *store, const struct sb_descriptor *descriptor,
                         struct sb_layer_reader **out, struct sb_error *err) {
    return open_blob(store, descriptor, false, out, err);
}

int sb_layer_reader_open_known(struct sb_store *store, const struct sb_descriptor *descriptor,
                               struct sb_layer_reader **out, struct sb_error *err) {
    return open_blob(store, descriptor, true, out, err);
}

int sb_layer_reader_fd(int fd, struct sb_layer_reader **out, struct sb_error *err) {
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return sb_fail_errno(err, SB_E_IO, "reading an archive");
    struct stat st;
    *out = reader_new(own, UINT64_MAX, false);
    if (fstat(own, &st) == 0 && S_ISREG(st.st_mode))
        (*out)->limit = sb_unpack_limit((uint64_t)st.st_size);
    return 0;
}

void sb_layer_reader_limit(struct sb_layer_reader *r, uint64_t tar_size) {
    r->limit = tar_size;
}

static void stop_threads(struct sb_layer_reader *r) {
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->stop, true);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    for (int i = 0; i < r->thread_count; i++)
        pthread_join(r->threads[i], NULL);
    r->thread_count = 0;
}

void sb_layer_reader_abort(struct sb_layer_reader *r) {
    if (!r)
        return;
    stop_threads(r);
    for (int i = 0; i < RING_MAX; i++)
        sb_piece_free(&r->slots[i].piece);
    if (r->keeps_blocks)
        sb_blocks_keep_no_more();
    sb_decoder_free(r->decoder);
    ZSTD_freeDCtx(r->context);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- what the threads do; r->lock is held wherever counts are looked at ---- */

static void fail_all(struct sb_layer_reader *r, const struct sb_error *err) {
    pthread_mutex_lock(&r->lock);
    if (r->failure.code == SB_E_NONE)
        r->failure = *err;
    atomic_store(&r->stop, true);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static struct slot *slot_of(struct sb_layer_reader *r, uint64_t piece) {
    return &r->slots[piece % (unsigned)r->ring];
}

static bool is_ready(struct sb_layer_reader *r, uint64_t piece) {
    sb_assert_locked(&r->lock);
    return piece < r->filled && slot_of(r, piece)->ready;
}

static bool has_room(const struct sb_layer_reader *r) {
    sb_assert_locked(&r->lock);
    sb_assert(r->hashed <= r->filled && r->consumed <= r->filled);
    uint64_t done = r->hashed < r->consumed ? r->hashed : r->consumed;
    return r->filled - done < (unsigned)r->ring;
}

/* Counts one more piece as done and tells everybody. */
static void advance(struct sb_layer_reader *r, uint64_t *count) {
    pthread_mutex_lock(&r->lock);
    ++*count;
    sb_assert(*count <= r->end);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void *produce(void *self) {
    struct sb_layer_reader *r = self;
    for (bool end = false; !end;) {
        pthread_mutex_lock(&r->lock);
        while (!r->stop && !has_room(r))
            pthread_cond_wait(&r->changed, &r->lock);
        bool stop = r->stop;
        pthread_mutex_unlock(&r->lock);
        if (stop)
            return NULL;
        struct slot *slot = slot_of(r, r->filled);
        struct sb_error err = {0};
        if (sb_decoder_next(r->decoder, &slot->piece, &end, &err) < 0) {
            fail_all(r, &err);
            return NULL;
        }
        slot->ready = !slot->piece.coded;
        if (!end)
            advance(r, &r->filled);
    }
    pthread_mutex_lock(&r->lock);
    r->end = r->filled;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* The next piece that is still coded, or NULL when there will be none. */
static struct slot *take_coded(struct sb_layer_reader *r) {
    struct slot *slot = NULL;
    pthread_mutex_lock(&r->lock);
    while (!r->stop && !slot && r->taken < r->end) {
        if (r->taken == r->filled)
            pthread_cond_wait(&r->changed, &r->lock);
        else if (!slot_of(r, r->taken++)->ready)
            slot = slot_of(r, r->taken - 1);
    }
    pthread_mutex_unlock(&r->lock);
    return slot;
}

static void *work(void *self) {
    struct sb_layer_reader *r = self;
    ZSTD_DCtx *context = ZSTD_createDCtx();
    for (struct slot *slot; (slot = take_coded(r));) {
        struct sb_error err = {0};
        if (sb_piece_decode(&slot->piece, context, &err) < 0) {
            fail_all(r, &err);
            break;
        }
        pthread_mutex_lock(&r->lock);
        slot->ready = true;
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
    }
    ZSTD_freeDCtx(context);
    return NULL;
}

static void *hash(void *self) {
    struct sb_layer_reader *r = self;
    for (;;) {
        pthread_mutex_lock(&r->lock);
        while (!r->stop && r->hashed < r->end && !is_ready(r, r->hashed))
            pthread_cond_wait(&r->changed, &r->lock);
        struct slot *slot = !r->stop && r->hashed < r->end ? slot_of(r, r->hashed) : NULL;
        pthread_mutex_unlock(&r->lock);
        if (!slot)
            return NULL;
        sb_sha256_add(&r->sha, slot->piece.out, slot->piece.out_len);
        advance(r, &r->hashed);
    }
}

static int start_thread(struct sb_layer_reader *r, void *(*run)(void *), struct sb_error *err) {
    int rc = sb_thread_start(&r->threads[r->thread_count], run, r);
    if (rc != 0)
        return sb_fail(err, SB_E_FAILED, "starting a thread: %s", strerror(rc));
    r->thread_count++;
    return 0;
}

/* The caller's thread has handed out everything so far: the ring starts empty. */
static int start_threads(struct sb_layer_reader *r, struct sb_error *err) {
    int cores = sb_core_count();
    r->workers = cores < WORKERS_MAX ? cores : WORKERS_MAX;
    r->ring = r->workers + 3;
    if (!sb_decoder_in_frames(r->decoder))
        r->workers = 0;
    int failed = start_thread(r, produce, err) < 0 || start_thread(r, hash, err) < 0;
    for (int i = 0; !failed && i < r->workers; i++)
        failed = start_thread(r, work, err) < 0;
    if (failed)
        stop_threads(r);
    r->threaded = !failed;
    r->keeps_blocks = true;
    sb_blocks_keep();
    return failed ? -1 : 0;
}

/* ---- the caller's side ---- */

/* Decodes and hashes the next piece here and now. */
static int next_alone(struct sb_layer_reader *r, struct sb_piece **out, struct sb_error *err) {
    struct sb_piece *piece = &r->slots[0].piece;
    *out = NULL;
    bool end;
    if (sb_decoder_next(r->decoder, piece, &end, err) < 0)
        return -1;
    if (end)
        return 0;
    if (piece->coded && !r->context)
        r->context = ZSTD_createDCtx();
    if (sb_piece_decode(piece, r->context, err) < 0)
        return -1;
    sb_sha256_add(&r->sha, piece->out, piece->out_len);
    *out = piece;
    return 0;
}

static int next_from_ring(struct sb_layer_reader *r, struct sb_piece **out, struct sb_error *err) {
    if (r->holding)
        advance(r, &r->consumed);
    r->holding = false;
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    while (!r->stop && r->consumed < r->end && !is_ready(r, r->consumed) && rc == 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&r->changed, &r->lock, &until);
        rc = sb_interrupt_check(err);
    }
    if (r->failure.code != SB_E_NONE && rc == 0) {
        rc = -1;
        if (err)
            *err = r->failure;
    }
    r->holding = rc == 0 && r->consumed < r->end;
    *out = r->holding ? &slot_of(r, r->consumed)->piece : NULL;
    pthread_mutex_unlock(&r->lock);
    return rc;
}

int sb_layer_reader_next(struct sb_layer_reader *r, const void **out_data, size_t *out_len,
                         struct sb_error *err) {
    struct sb_piece *piece = NULL;
    *out_data = NULL;
    *out_len = 0;
    do {
        if (r->at_end)
            return 0;
        if (sb_interrupt_check(err) < 0)
            return -1;
        if (!r->threaded && r->tar_size >= SB_FRAME_SIZE && sb_core_count() > 1 &&
            start_threads(r, err) < 0)
            return -1;
        int rc = r->threaded ? next_from_ring(r, &piece, err) : next_alone(r, &piece, err);
        if (rc < 0)
            return -1;
        r->at_end = !piece;
    } while (piece && piece->out_len == 0);
    if (r->at_end)
        return 0;
    r->tar_size += piece->out_len;
    if (r->tar_size > r->limit)
        return sb_fail(err, SB_E_INTEGRITY, "it unpacks to more than the %llu bytes allowed",
                       (unsigned long long)r->limit);
    *out_data = piece->out;
    *out_len = piece->out_len;
    return 0;
}

struct sb_block *sb_layer_reader_hold(struct sb_layer_reader *r, const void *data, size_t len) {
    const struct sb_piece *piece =
        r->holding ? &slot_of(r, r->consumed)->piece : &r->slots[0].piece;
    const unsigned char *p = data;
    if ((r->threaded && !r->holding) || !piece->block || p < piece->out ||
        p + len > piece->out + piece->out_len)
        return NULL;
    atomic_fetch_add(&piece->block->users, 1);
    return piece->block;
}

static int verify(struct sb_layer_reader *r, const struct sb_digest *tar, struct sb_error *err) {
    if (sb_decoder_size(r->decoder) != r->expected.size)
        return sb_fail(err, SB_E_INTEGRITY, "the blob %s has %llu bytes instead of %llu",
                       sb_digest_text(&r->expected.digest).text,
                       (unsigned long long)sb_decoder_size(r->decoder),
                       (unsigned long long)r->expected.size);
    struct sb_digest blob = sb_decoder_plain(r->decoder) ? *tar : sb_decoder_digest(r->decoder);
    if (sb_digest_equal(&blob, &r->expected.digest))
        return 0;
    return sb_fail(err, SB_E_INTEGRITY, "the blob %s has the digest %s: it is damaged",
                   sb_digest_text(&r->expected.digest).text, sb_digest_text(&blob).text);
}

int sb_layer_reader_finish(struct sb_layer_reader *r, struct sb_digest *out_diff_id,
                           uint64_t *out_tar_size, struct sb_error *err) {
    int rc = 0;
    const void *data;
    size_t len = 1;
    while (rc == 0 && len > 0)
        rc = sb_layer_reader_next(r, &data, &len, err);
    if (rc == 0) {
        for (int i = 0; i < r->thread_count; i++)
            pthread_join(r->threads[i], NULL);
        r->thread_count = 0;
        struct sb_digest tar = sb_sha256_finish(&r->sha);
        if (out_diff_id)
            *out_diff_id = tar;
        if (out_tar_size)
            *out_tar_size = r->tar_size;
        if (r->verify)
            rc = verify(r, &tar, err);
    }
    sb_layer_reader_abort(r);
    return rc;
}
