#include "base/sparse.h"

#include <errno.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "base/memory.h"

bool sb_sparse_is(const struct stat *st) {
    enum { LEAST = 64 << 10 }; /* smaller ones are read faster than asked about */
    return S_ISREG(st->st_mode) && st->st_size >= LEAST && st->st_blocks < st->st_size / 512;
}

/* Where the next data or hole begins; size when there is none before. */
static int seek(int fd, uint64_t at, uint64_t size, int whence, uint64_t *out) {
    off_t found = lseek(fd, (off_t)at, whence);
    if (found < 0 && errno != ENXIO)
        return -1;
    *out = found < 0 || (uint64_t)found > size ? size : (uint64_t)found;
    return 0;
}

int sb_sparse_next(int fd, uint64_t at, uint64_t size, uint64_t *out_end, bool *out_hole) {
    uint64_t data;
    *out_hole = false;
    *out_end = size;
    if (seek(fd, at, size, SEEK_DATA, &data) < 0)
        return errno == EINVAL || errno == EOPNOTSUPP ? 0 : -1;
    if (data > at) {
        *out_hole = true;
        *out_end = data;
        return 0;
    }
    return seek(fd, at, size, SEEK_HOLE, out_end);
}

/* ---- copying ---- */

static int copy_by_hand(int from, int to, uint64_t at, uint64_t end, struct sb_error *err) {
    enum { STEP = 64 << 10 };
    sb_autofree unsigned char *buffer = sb_alloc(STEP);
    while (at < end) {
        ssize_t n = pread(from, buffer, end - at < STEP ? (size_t)(end - at) : STEP, (off_t)at);
        if (n == 0)
            return sb_fail(err, SB_E_IO, "copying: the file became shorter");
        if (n > 0)
            n = pwrite(to, buffer, (size_t)n, (off_t)at);
        if (n < 0 && errno != EINTR)
            return sb_fail_errno(err, SB_E_IO, "copying");
        at += n > 0 ? (uint64_t)n : 0;
    }
    return 0;
}

static int copy_range(int from, int to, uint64_t at, uint64_t end, struct sb_error *err) {
    enum { STEP = 64 << 20 }; /* at a time: then an interruption is looked for */
    while (at < end) {
        off_t in = (off_t)at, out = (off_t)at;
        uint64_t step = end - at < STEP ? end - at : STEP;
        if (sb_interrupt_check(err) < 0)
            return -1;
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)step, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 &&
            copy_by_hand(from, to, at, at + step, err) < 0) /* what is wrong shows again */
            return -1;
        at += n > 0 ? (uint64_t)n : step;
    }
    return 0;
}

int sb_sparse_copy(int from, int to, uint64_t len, struct sb_error *err) {
    bool hole = false;
    for (uint64_t at = 0, end; at < len; at = end) {
        if (sb_sparse_next(from, at, len, &end, &hole) < 0)
            return sb_fail_errno(err, SB_E_IO, "looking for holes");
        if (!hole && copy_range(from, to, at, end, err) < 0)
            return -1;
    }
    return hole && ftruncate(to, (off_t)len) < 0 ? sb_fail_errno(err, SB_E_IO, "copying") : 0;
}
