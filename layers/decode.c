#include "layers/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/uncached.h"
#include "layers/arriving.h"
#include "layers/direct.h"

#ifndef READ_SIZE /* fuzzers have a smaller one: their inputs come in several reads as well */
#define READ_SIZE (512u << 10)
#endif
#define STREAM_SIZE    (1u << 20) /* of a piece from a decoder that streams */
#define WINDOW_LOG     27
#define READ_ALIGNMENT 512u /* of memory that is read into: direct access may want it */
/* Room for a frame that grew by packing; a stranger's that needs more is streamed instead. */
#define FRAME_INPUT_MAX (SB_FRAME_SIZE + (256u << 10))

enum method {
    METHOD_UNKNOWN,
    METHOD_PLAIN,
    METHOD_GZIP,
    METHOD_ZSTD_FRAMES,
    METHOD_ZSTD_STREAM,
};

struct sb_decoder {
    int fd;
    bool regular, hash, eof;
    bool direct; /* the file is set so */
    struct sb_arriving *arriving;
    enum method method;
    bool open; /* in the middle of a gzip member or zstd frame */
    uint64_t size, limit;
    atomic_bool *stop;
    struct sb_sha256 sha;
    unsigned char *in; /* bytes read and not yet decoded: in + start, len of them */
    size_t start, len, cap;
    uint64_t skip; /* bytes of a skippable frame still to come */
    z_stream gzip;
    bool gzip_ready;
    ZSTD_DCtx *zstd;
};

struct sb_decoder *sb_decoder_new(int fd, uint64_t limit, bool hash, atomic_bool *stop) {
    struct sb_decoder *d = sb_alloc(sizeof *d);
    struct stat st;
    d->fd = fd;
    d->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    d->limit = limit;
    d->hash = hash;
    d->stop = stop;
    if (d->regular)
        posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    sb_sha256_start(&d->sha);
    return d;
}

void sb_decoder_read_direct(struct sb_decoder *d) {
    size_t alignment = d->regular ? sb_direct_alignment(d->fd) : 0;
    d->direct = alignment > 0 && READ_ALIGNMENT % alignment == 0 && sb_direct_is_fast() &&
                sb_direct_set(d->fd, true);
}

void sb_decoder_follow(struct sb_decoder *d, struct sb_arriving *arriving) {
    d->arriving = arriving;
}

void sb_decoder_free(struct sb_decoder *d) {
    if (!d)
        return;
    if (d->gzip_ready)
        inflateEnd(&d->gzip);
    ZSTD_freeDCtx(d->zstd);
    sb_close_descriptor(&d->fd);
    sb_arriving_leave(d->arriving);
    free(d->in);
    free(d);
}

bool sb_decoder_in_frames(const struct sb_decoder *d) {
    return d->method == METHOD_ZSTD_FRAMES;
}

bool sb_decoder_plain(const struct sb_decoder *d) {
    return d->method == METHOD_PLAIN;
}

uint64_t sb_decoder_size(const struct sb_decoder *d) {
    return d->size;
}

struct sb_digest sb_decoder_digest(const struct sb_decoder *d) {
    struct sb_sha256 copy = d->sha;
    return sb_sha256_finish(&copy);
}

/* The block of the piece before, unless somebody still uses it. */
static void make_room(struct sb_piece *piece) {
    if (piece->block && atomic_load(&piece->block->users) > 1)
        sb_block_release(sb_steal(piece->block));
    if (!piece->block)
        piece->block = sb_block_new();
    piece->out = piece->block->data;
    piece->out_len = 0;
}

void sb_piece_free(struct sb_piece *piece) {
    sb_block_release(piece->block);
    free(piece->in);
    *piece = (struct sb_piece){0};
}

static int damaged(struct sb_error *err, const char *what, const char *detail) {
    return sb_fail(err, SB_E_INTEGRITY, "the %s data is damaged: %s", what, detail);
}

/* ---- input ---- */

/* A pipe's writer may be slow, or never end: look up now and then. */
static int wait_for_pipe(struct sb_decoder *d, struct sb_error *err) {
    struct pollfd p = {.fd = d->fd, .events = POLLIN};
    while (poll(&p, 1, 200) <= 0) {
        if (sb_interrupt_check(err) < 0)
            return -1;
        if (atomic_load(d->stop))
            return sb_fail(err, SB_E_FAILED, "reading was given up");
    }
    return 0;
}

static void leave_direct(struct sb_decoder *d) {
    if (d->direct)
        sb_direct_set(d->fd, false);
    d->direct = false;
}

static ssize_t read_file(struct sb_decoder *d, unsigned char *to, size_t room) {
    if (((uintptr_t)to % READ_ALIGNMENT) + (room % SB_DIRECT_ALIGNMENT) > 0)
        leave_direct(d);
    if (d->direct) {
        ssize_t n = read(d->fd, to, room);
        if (n < 0 ? errno == EINVAL : (size_t)n < room) /* the end is no whole block */
            leave_direct(d);
        if (n >= 0 || errno != EINVAL)
            return n;
    }
    return sb_read_uncached(d->fd, to, room);
}

/* One read into a place of the caller's; 0 bytes at the end of the file. */
static int read_some(struct sb_decoder *d, unsigned char *to, size_t room, size_t *out_len,
                     struct sb_error *err) {
    ssize_t n = 0;
    *out_len = 0;
    if (d->eof)
        return 0;
    do {
        if (!d->regular && wait_for_pipe(d, err) < 0)
            return -1;
        if (d->arriving && sb_arriving_wait(d->arriving, d->size + room, d->stop, err) < 0)
            return -1;
        n = d->regular ? read_file(d, to, room) : read(d->fd, to, room);
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    if (n < 0)
        return sb_fail_errno(err, SB_E_IO, "reading");
    if (n == 0)
        d->eof = true;
    d->size += (uint64_t)n;
    if (d->size > d->limit)
        return sb_fail(err, SB_E_INTEGRITY, "more than the %llu bytes that it should have",
                       (unsigned long long)d->limit);
    if (d->hash)
        sb_sha256_add(&d->sha, to, (size_t)n);
    *out_len = (size_t)n;
    return 0;
}

/* Where len bytes start so that what is read behind them is aligned. */
static size_t start_for(size_t len) {
    return (size_t)-len % READ_ALIGNMENT;
}

static size_t room_for(size_t len) {
    return READ_ALIGNMENT + len + READ_SIZE;
}

/* Makes room for READ_SIZE bytes behind the pending input. */
static void make_input_room(struct sb_decoder *d) {
    size_t end = d->start + d->len, start = start_for(d->len);
    if (end % READ_ALIGNMENT == 0 && d->cap >= end + READ_SIZE)
        return;
    if (d->cap >= room_for(d->len)) {
        memmove(d->in + start, d->in + d->start, d->len);
    } else {
        size_t cap = room_for(d->len) > 2 * d->cap ? room_for(d->len) : 2 * d->cap;
        unsigned char *in = sb_alloc_aligned(SB_DIRECT_ALIGNMENT, cap);
        if (d->len > 0)
            memcpy(in + start, d->in + d->start, d->len);
        free(d->in);
        d->in = in;
        d->cap = cap;
    }
    d->start = start;
}

/* Adds up to READ_SIZE bytes to the pending input. */
static int fill(struct sb_decoder *d, struct sb_error *err) {
    make_input_room(d);
    size_t n;
    if (read_some(d, d->in + d->start + d->len, READ_SIZE, &n, err) < 0)
        return -1;
    d->len += n;
    return 0;
}

static int fill_to(struct sb_decoder *d, size_t want, struct sb_error *err) {
    while (d->len < want && !d->eof)
        if (fill(d, err) < 0)
            return -1;
    return 0;
}

static void drop(struct sb_decoder *d, size_t n) {
    d->start += n;
    d->len -= n;
}

static const unsigned char *pending(const struct sb_decoder *d) {
    return d->in + d->start;
}

static uint32_t little32(const unsigned char *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool is_skippable(const unsigned char *p) {
    return (little32(p) & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

static int unsupported(struct sb_error *err, const char *what) {
    sb_fail(err, SB_E_FAILED, "it is compressed with %s, which image layers may not be", what);
    return sb_error_hint(err, "compress it with zstd or gzip, or not at all");
}

static int detect(struct sb_decoder *d, struct sb_error *err) {
    if (fill_to(d, 6, err) < 0)
        return -1;
    const unsigned char *p = pending(d);
    d->method = METHOD_PLAIN;
    if (d->len >= 2 && p[0] == 0x1f && p[1] == 0x8b)
        d->method = METHOD_GZIP;
    else if (d->len >= 4 && (little32(p) == ZSTD_MAGICNUMBER || is_skippable(p)))
        d->method = METHOD_ZSTD_FRAMES;
    else if (d->len >= 6 && !memcmp(p, "\xfd\x37zXZ", 6))
        return unsupported(err, "xz");
    else if (d->len >= 3 && !memcmp(p, "BZh", 3))
        return unsupported(err, "bzip2");
    if (d->method == METHOD_PLAIN)
        d->hash = false;
    return 0;
}

/* ---- plain tar ---- */

static int next_plain(struct sb_decoder *d, struct sb_piece *piece, struct sb_error *err) {
    size_t n = d->len < STREAM_SIZE ? d->len : STREAM_SIZE;
    if (n > 0)
        memcpy(piece->out, pending(d), n);
    drop(d, n);
    while (n < STREAM_SIZE && !d->eof) {
        size_t more;
        if (read_some(d, piece->out + n, STREAM_SIZE - n, &more, err) < 0)
            return -1;
        n += more;
    }
    piece->out_len = n;
    return 0;
}

/* ---- gzip ---- */

/* Between members: another one, zeros to the end (tapes and some tools pad), or damage. */
static int next_member(struct sb_decoder *d, struct sb_error *err) {
    if (fill_to(d, 2, err) < 0)
        return -1;
    const unsigned char *p = pending(d);
    if (d->len >= 2 && p[0] == 0x1f && p[1] == 0x8b) {
        d->open = true;
        int rc = d->gzip_ready ? inflateReset(&d->gzip) : inflateInit2(&d->gzip, 15 + 16);
        d->gzip_ready = true;
        return rc == Z_OK ? 0 : sb_fail(err, SB_E_FAILED, "starting zlib: %s", zError(rc));
    }
    while (d->len > 0) {
        for (size_t i = 0; i < d->len; i++)
            if (pending(d)[i] != 0)
                return damaged(err, "gzip", "something else follows its end");
        drop(d, d->len);
        if (fill_to(d, 1, err) < 0)
            return -1;
    }
    return 0;
}

static int next_gzip(struct sb_decoder *d, struct sb_piece *piece, struct sb_error *err) {
    while (piece->out_len < STREAM_SIZE) {
        if (!d->open && next_member(d, err) < 0)
            return -1;
        if (!d->open)
            break;
        if (fill_to(d, 1, err) < 0)
            return -1;
        if (d->len == 0)
            return damaged(err, "gzip", "it ends too early");
        d->gzip.next_in = d->in + d->start;
        d->gzip.avail_in = (uInt)d->len;
        d->gzip.next_out = piece->out + piece->out_len;
        d->gzip.avail_out = (uInt)(STREAM_SIZE - piece->out_len);
        int rc = inflate(&d->gzip, Z_NO_FLUSH);
        drop(d, d->len - d->gzip.avail_in);
        piece->out_len = STREAM_SIZE - d->gzip.avail_out;
        if (rc == Z_STREAM_END)
            d->open = false;
        else if (rc != Z_OK && rc != Z_BUF_ERROR)
            return damaged(err, "gzip", d->gzip.msg ? d->gzip.msg : zError(rc));
    }
    return 0;
}

/* ---- zstd ---- */

static int next_zstd_stream(struct sb_decoder *d, struct sb_piece *piece, struct sb_error *err) {
    if (!d->zstd) {
        d->zstd = ZSTD_createDCtx();
        ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, WINDOW_LOG);
    }
    ZSTD_outBuffer out = {piece->out, STREAM_SIZE, 0};
    while (out.pos < out.size) {
        if (fill_to(d, 1, err) < 0)
            return -1;
        if (d->len == 0 && !d->open)
            break;
        /* Without input there may still be output that the decoder holds back. */
        ZSTD_inBuffer in = {pending(d), d->len, 0};
        size_t before = out.pos;
        size_t rc = ZSTD_decompressStream(d->zstd, &out, &in);
        if (ZSTD_isError(rc))
            return damaged(err, "zstd", ZSTD_getErrorName(rc));
        drop(d, in.pos);
        d->open = rc != 0;
        if (d->open && in.size == 0 && out.pos == before)
            return damaged(err, "zstd", "it ends too early");
    }
    piece->out_len = out.pos;
    return 0;
}

/* Passes over what is left of a skippable frame. */
static int skip_frame(struct sb_decoder *d, struct sb_error *err) {
    while (d->skip > 0) {
        if (fill_to(d, 1, err) < 0)
            return -1;
        if (d->len == 0)
            return damaged(err, "zstd", "it ends too early");
        size_t n = d->skip < d->len ? (size_t)d->skip : d->len;
        drop(d, n);
        d->skip -= n;
    }
    return 0;
}

/* Moves the first n pending bytes into the piece, copying the smaller part: them or the rest. */
static void hand_over(struct sb_decoder *d, struct sb_piece *piece, size_t n) {
    size_t rest = d->len - n, copied = n < rest ? n : rest;
    if (piece->in_cap < room_for(copied)) {
        free(piece->in);
        piece->in_cap = room_for(copied);
        piece->in = sb_alloc_aligned(SB_DIRECT_ALIGNMENT, piece->in_cap);
    }
    piece->in_start = 0;
    piece->in_len = n;
    if (n < rest) {
        memcpy(piece->in, pending(d), n);
        drop(d, n);
        return;
    }
    memcpy(piece->in + start_for(rest), pending(d) + n, rest);
    unsigned char *in = d->in;
    size_t start = d->start, cap = d->cap;
    d->in = piece->in;
    d->cap = piece->in_cap;
    d->start = start_for(rest);
    d->len = rest;
    piece->in = in;
    piece->in_cap = cap;
    piece->in_start = start;
}

/* How many bytes of the pending input are whole small frames that fit one piece together. */
static size_t gather_frames(const struct sb_decoder *d) {
    size_t total = 0;
    unsigned long long room = SB_FRAME_SIZE;
    while (d->len - total >= 4 && !is_skippable(pending(d) + total)) {
        const unsigned char *p = pending(d) + total;
        unsigned long long content = ZSTD_getFrameContentSize(p, d->len - total);
        if (content > room) /* unknown and error are huge numbers */
            break;
        size_t frame = ZSTD_findFrameCompressedSize(p, d->len - total);
        if (ZSTD_isError(frame))
            break;
        room -= content;
        total += frame;
    }
    return total;
}

static int skip_frames(struct sb_decoder *d, struct sb_error *err) {
    for (;;) {
        if (fill_to(d, 18, err) < 0) /* the longest frame header */
            return -1;
        if (d->len < 8 || !is_skippable(pending(d)))
            return 0;
        d->skip = 8 + (uint64_t)little32(pending(d) + 4);
        if (skip_frame(d, err) < 0)
            return -1;
    }
}

/* Takes the next whole frames, or finds that the rest must be streamed. */
static int next_zstd_frames(struct sb_decoder *d, struct sb_piece *piece, struct sb_error *err) {
    if (skip_frames(d, err) < 0)
        return -1;
    if (d->len == 0)
        return 0;
    unsigned long long content = ZSTD_getFrameContentSize(pending(d), d->len);
    if (content == ZSTD_CONTENTSIZE_ERROR)
        return damaged(err, "zstd", "a frame header was expected");
    while (content <= SB_FRAME_SIZE) {
        size_t n = gather_frames(d);
        if (n > 0) {
            hand_over(d, piece, n);
            piece->coded = true;
            return 0;
        }
        if (d->eof)
            return damaged(err, "zstd", "it ends too early, or a block is wrong");
        if (d->len > FRAME_INPUT_MAX)
            break;
        if (fill_to(d, d->len + d->len / 4 + READ_SIZE, err) < 0)
            return -1;
    }
    d->method = METHOD_ZSTD_STREAM;
    return next_zstd_stream(d, piece, err);
}

int sb_piece_decode(struct sb_piece *piece, ZSTD_DCtx *context, struct sb_error *err) {
    if (!piece->coded)
        return 0;
    size_t n = ZSTD_decompressDCtx(context, piece->out, SB_FRAME_SIZE, piece->in + piece->in_start,
                                   piece->in_len);
    if (ZSTD_isError(n))
        return damaged(err, "zstd", ZSTD_getErrorName(n));
    piece->out_len = n;
    piece->coded = false;
    return 0;
}

int sb_decoder_next(struct sb_decoder *d, struct sb_piece *piece, bool *out_end,
                    struct sb_error *err) {
    make_room(piece);
    piece->coded = false;
    *out_end = false;
    if (d->method == METHOD_UNKNOWN && detect(d, err) < 0)
        return -1;
    int rc = -1;
    switch (d->method) {
    case METHOD_UNKNOWN:
    case METHOD_PLAIN:
        rc = next_plain(d, piece, err);
        break;
    case METHOD_GZIP:
        rc = next_gzip(d, piece, err);
        break;
    case METHOD_ZSTD_FRAMES:
        rc = next_zstd_frames(d, piece, err);
        break;
    case METHOD_ZSTD_STREAM:
        rc = next_zstd_stream(d, piece, err);
        break;
    }
    if (rc < 0)
        return -1;
    *out_end = !piece->coded && piece->out_len == 0;
    return 0;
}
