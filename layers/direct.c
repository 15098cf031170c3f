#include "layers/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RATE  200u        /* bytes in a microsecond, at the least */
#define TRIAL (32u << 20) /* bytes; before them nothing is judged */

/* Time that several threads wait at once counts once. */
static atomic_uint_fast64_t written, nanoseconds;
static atomic_uint writers;

size_t sb_direct_alignment(int fd) {
#ifdef STATX_DIOALIGN
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) < 0 || !(st.stx_mask & STATX_DIOALIGN) ||
        st.stx_dio_offset_align == 0 || SB_DIRECT_ALIGNMENT % st.stx_dio_offset_align != 0)
        return 0;
    return st.stx_dio_mem_align;
#else
    (void)fd;
    return 0;
#endif
}

bool sb_direct_set(int fd, bool direct) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool sb_direct_is_fast(void) {
    uint64_t bytes = atomic_load_explicit(&written, memory_order_relaxed);
    uint64_t time = atomic_load_explicit(&nanoseconds, memory_order_relaxed);
    return bytes < TRIAL || time <= bytes * 1000 / RATE;
}

ssize_t sb_direct_pwrite(int fd, const void *data, size_t len, off_t offset) {
    unsigned others = atomic_fetch_add_explicit(&writers, 1, memory_order_relaxed);
    uint64_t start = now();
    ssize_t n = pwrite(fd, data, len, offset);
    uint64_t time = now() - start;
    int saved = errno;
    atomic_fetch_sub_explicit(&writers, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&nanoseconds, time / (others + 1), memory_order_relaxed);
    atomic_fetch_add_explicit(&written, n > 0 ? (uint64_t)n : 0, memory_order_relaxed);
    errno = saved;
    return n;
}
