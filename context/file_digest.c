#include "context/file_digest.h"

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/sparse.h"

enum { CHUNK = 256 << 10 };

struct hashing {
    struct sb_sha256 sha;
    const struct sb_file_digest_watch *watch;
    uint64_t size;      /* so far */
    uint64_t asked;     /* the clock, at that size */
    double started;     /* when the first look at the clock was */
    unsigned char *buf; /* CHUNK bytes */
    struct sb_error *err;
};

static int add(struct hashing *h, const void *data, size_t len) {
    enum { STEP = 64 << 20 }; /* some tens of milliseconds */
    sb_sha256_add(&h->sha, data, len);
    h->size += len;
    if (h->size - h->asked >= STEP) {
        h->asked = h->size;
        double now = sb_clock_seconds();
        if (h->started == 0)
            h->started = now;
        if (now - h->started >= 1) {
            h->started = now;
            h->watch->tell(h->watch->data, h->size);
        }
    }
    return sb_interrupt_check(h->err);
}

/* Up to len bytes, or to the end; *out_end tells that it came. */
static int read_data(struct hashing *h, int fd, uint64_t len, bool *out_end) {
    *out_end = false;
    while (len > 0) {
        ssize_t n = read(fd, h->buf, len < CHUNK ? (size_t)len : CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sb_fail_errno(h->err, SB_E_IO, "reading");
        if (n == 0) {
            *out_end = true;
            return 0;
        }
        if (add(h, h->buf, (size_t)n) < 0)
            return -1;
        len -= (uint64_t)n;
    }
    return 0;
}

static int add_hole(struct hashing *h, uint64_t len) {
    static const unsigned char zeros[16384];
    while (len > 0) {
        size_t n = len < sizeof zeros ? (size_t)len : sizeof zeros;
        if (add(h, zeros, n) < 0)
            return -1;
        len -= n;
    }
    return 0;
}

/* Stretch by stretch; what is appended meanwhile is read too, and shows in the size. */
static int hash_sparse(struct hashing *h, int fd, uint64_t size) {
    for (uint64_t at = 0, end; at < size; at = end) {
        bool hole, ended = false;
        if (sb_sparse_next(fd, at, size, &end, &hole) < 0 ||
            (!hole && lseek(fd, (off_t)at, SEEK_SET) < 0))
            return sb_fail_errno(h->err, SB_E_IO, "reading");
        if ((hole ? add_hole(h, end - at) : read_data(h, fd, end - at, &ended)) < 0)
            return -1;
        if (ended)
            return 0;
    }
    bool ended;
    struct stat now;
    if (lseek(fd, (off_t)size, SEEK_SET) < 0 || fstat(fd, &now) < 0)
        return sb_fail_errno(h->err, SB_E_IO, "reading");
    if ((uint64_t)now.st_size < size) /* its end looked like a hole */
        h->size = (uint64_t)now.st_size;
    return read_data(h, fd, UINT64_MAX, &ended);
}

int sb_file_digest(int fd, const struct stat *st, const struct sb_file_digest_watch *watch,
                   struct sb_digest *out, uint64_t *out_size, struct sb_error *err) {
    enum { SMALL = 4096 }; /* most source files fit */
    if (st->st_size < SMALL)
        return sb_digest_of_fd(fd, out, out_size, err);
    sb_autofree unsigned char *buf = sb_realloc(NULL, CHUNK, 1);
    struct hashing h = {.watch = watch, .buf = buf, .err = err};
    bool ended;
    sb_sha256_start(&h.sha);
    if ((sb_sparse_is(st) ? hash_sparse(&h, fd, (uint64_t)st->st_size)
                          : read_data(&h, fd, UINT64_MAX, &ended)) < 0)
        return -1;
    *out = sb_sha256_finish(&h.sha);
    *out_size = h.size;
    return 0;
}
