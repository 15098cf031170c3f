#include "base/uncached.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x80
#endif

/* Most often all files lie on one file system: once refused is refused for good. */
static atomic_bool read_refused, write_refused;

/* True when the call is to be made again without the flag. */
static bool refused(ssize_t result, atomic_bool *refused_before) {
    if (result >= 0 || errno != EOPNOTSUPP)
        return false;
    atomic_store_explicit(refused_before, true, memory_order_relaxed);
    return true;
}

static bool known(const atomic_bool *refused_before) {
    return atomic_load_explicit(refused_before, memory_order_relaxed);
}

ssize_t sb_pread_uncached(int fd, void *data, size_t len, off_t offset) {
    struct iovec v = {data, len};
    if (!known(&read_refused)) {
        ssize_t n = preadv2(fd, &v, 1, offset, RWF_DONTCACHE);
        if (!refused(n, &read_refused))
            return n;
    }
    return offset < 0 ? read(fd, data, len) : pread(fd, data, len, offset);
}

ssize_t sb_read_uncached(int fd, void *data, size_t len) {
    return sb_pread_uncached(fd, data, len, -1); /* from where the file stands */
}

ssize_t sb_pwrite_uncached(int fd, const void *data, size_t len, off_t offset) {
    struct iovec v = {(void *)data, len};
    if (!known(&write_refused)) {
        ssize_t n = pwritev2(fd, &v, 1, offset, RWF_DONTCACHE);
        if (!refused(n, &write_refused))
            return n;
    }
    return pwrite(fd, data, len, offset);
}
