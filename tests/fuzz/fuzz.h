/*
 * tests/fuzz/fuzz: what fuzz targets share: the parts of an input, and places in memory for those
 * parsers that read files.
 */
#ifndef SB_TESTS_FUZZ_H
#define SB_TESTS_FUZZ_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A refusal says what was wrong. */
static inline void fuzz_check_error(const struct sb_error *err) {
    FUZZ_CHECK(err->code != SB_E_NONE && err->message[0]);
}

/* Freed memory is kept back long enough to be missed, and not so long that new pages are all that a
 * fuzzer waits for. */
const char *__asan_default_options(void);
__attribute__((used)) const char *__asan_default_options(void) {
    return "quarantine_size_mb=8:malloc_context_size=8";
}

/* ---- an input in parts, which NUL bytes separate: JSON and text have none ---- */

struct fuzz_parts {
    const char *at, *end;
    bool more;
};

static inline struct fuzz_parts fuzz_parts(const uint8_t *data, size_t size) {
    return (struct fuzz_parts){(const char *)data, (const char *)data + size, true};
}

/* The next part, in memory of exactly its size and a NUL, the caller's; "" when there are no more.
 * out_len may be NULL. */
static inline char *fuzz_next(struct fuzz_parts *parts, size_t *out_len) {
    size_t left = (size_t)(parts->end - parts->at);
    const char *nul = left ? memchr(parts->at, '\0', left) : NULL;
    size_t len = nul ? (size_t)(nul - parts->at) : left;
    char *part = sb_strndup(left ? parts->at : "", len);
    parts->at = nul ? nul + 1 : parts->end;
    parts->more = nul;
    if (out_len)
        *out_len = len;
    return part;
}

/* The rest as it is, NUL bytes and all. */
static inline const char *fuzz_rest(struct fuzz_parts *parts, size_t *out_len) {
    const char *at = parts->at ? parts->at : "";
    *out_len = (size_t)(parts->end - parts->at);
    parts->at = parts->end;
    return at;
}

/* The first byte, as one of n choices; 0 when there is none. */
static inline unsigned fuzz_choose(struct fuzz_parts *parts, unsigned n) {
    return parts->at < parts->end ? (unsigned char)*parts->at++ % n : 0;
}

/* ---- files ---- */

/* A file that holds this, at its beginning; the same descriptor each time. */
static inline int fuzz_file(const void *data, size_t size) {
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && ftruncate(fd, 0) == 0);
    FUZZ_CHECK(pwrite(fd, data, size, 0) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static char fuzz_directory_path[] = "/dev/shm/sbuild-fuzz-XXXXXX";

static inline void fuzz_directory_remove(void) {
    sb_tree_remove(AT_FDCWD, fuzz_directory_path, NULL);
}

/* A directory of this process, in memory where that can be had; gone at its end. */
static inline const char *fuzz_directory(void) {
    static bool made;
    if (!made) {
        if (access("/dev/shm", W_OK) < 0)
            memcpy(fuzz_directory_path, "/var/tmp", strlen("/var/tmp"));
        FUZZ_CHECK(mkdtemp(fuzz_directory_path) && atexit(fuzz_directory_remove) == 0);
        made = true;
    }
    return fuzz_directory_path;
}

/* Writes a file of it; its path, the caller's. */
static inline char *fuzz_directory_file(const char *name, const void *data, size_t size) {
    char *path = sb_format("%s/%s", fuzz_directory(), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
    return path;
}

#endif
