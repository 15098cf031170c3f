#include "base/sparse.h"

#include <errno.h>
#include <unistd.h>

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
