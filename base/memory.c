#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"

static _Noreturn void out_of_memory(void) {
    static const char text[] = "sbuild: error: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(1);
}

void *sb_alloc(size_t size) {
    void *p = calloc(1, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *sb_alloc_aligned(size_t alignment, size_t size) {
    void *p;
    if (posix_memalign(&p, alignment, size) != 0)
        out_of_memory();
    return p;
}

void *sb_realloc(void *old, size_t count, size_t size) {
    if (size && count > SIZE_MAX / size)
        out_of_memory();
    size_t bytes = count * size;
    void *p = realloc(old, bytes ? bytes : 1);
    if (!p)
        out_of_memory();
    return p;
}

char *sb_strndup(const char *text, size_t len) {
    char *copy = sb_alloc(len + 1);
    memcpy(copy, text, len);
    return copy;
}

char *sb_strdup(const char *text) {
    return sb_strndup(text, strlen(text));
}

void *sb_memdup(const void *data, size_t len) {
    void *copy = sb_alloc(len);
    if (len)
        memcpy(copy, data, len);
    return copy;
}

char *sb_format(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    if (vasprintf(&text, fmt, ap) < 0)
        out_of_memory();
    va_end(ap);
    return text;
}

void sb_free_pointer(void *address) {
    free(*(void **)address);
}

void sb_close_descriptor(int *fd) {
    if (*fd >= 0) {
        int saved = errno;
        if (close(*fd) < 0)
            sb_assert(errno != EBADF); /* the number may be another thread's by now */
        *fd = -1;
        errno = saved;
    }
}

void sb_close_directory(void *address) {
    DIR *dir = *(DIR **)address;
    if (dir)
        closedir(dir);
}

int sb_steal_fd(int *fd) {
    int stolen = *fd;
    *fd = -1;
    return stolen;
}
