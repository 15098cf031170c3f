#include "base/assert.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void sb_assert_failed(const char *condition, const char *file, int line,
                                const char *function) {
    fprintf(stderr, "%s:%d: %s: %s does not hold: this is a fault of sbuild\n", file, line,
            function, condition);
    abort();
}

bool sb_mutex_is_locked(const pthread_mutex_t *mutex) {
    pthread_mutex_t *m = (pthread_mutex_t *)mutex; /* as it was before, in the end */
    if (pthread_mutex_trylock(m) != 0)
        return true;
    pthread_mutex_unlock(m);
    return false;
}

bool sb_is_sorted(const void *v, size_t n, size_t size,
                  int (*compare)(const void *a, const void *b)) {
    const char *at = v;
    for (size_t i = 1; i < n; i++)
        if (compare(at + (i - 1) * size, at + i * size) >= 0)
            return false;
    return true;
}

int sb_thread_count(void) {
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *line = strstr(text, "\nThreads:");
    return line ? atoi(line + strlen("\nThreads:")) : 0;
}
