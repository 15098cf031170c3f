/*
 * base/memory: allocation that cannot fail, and cleanup on every way out of a scope.
 *
 * The allocators exit the process with a message when there is no memory: the one exit in sbuild
 * outside cli/. Sizes taken from foreign bytes are bounded before they get here.
 *
 *     sb_autofree char *path = sb_format("%s/%s", dir, name);
 *     sb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
 */
#ifndef SB_BASE_MEMORY_H
#define SB_BASE_MEMORY_H

#include <stddef.h>

#define SB_NEVER_NULL __attribute__((returns_nonnull, warn_unused_result))

SB_NEVER_NULL void *sb_alloc(size_t size); /* zeroed */
SB_NEVER_NULL void *sb_realloc(void *old, size_t count, size_t size);
SB_NEVER_NULL void *sb_alloc_aligned(size_t alignment, size_t size); /* not zeroed; for free */
SB_NEVER_NULL char *sb_strdup(const char *text);
SB_NEVER_NULL char *sb_strndup(const char *text, size_t len);
SB_NEVER_NULL void *sb_memdup(const void *data, size_t len);
/* A new string, the caller's to free. */
SB_NEVER_NULL char *sb_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Makes room for one more element in a growing array: doubles *cap as needed. */
#define SB_GROW(array, count, cap)                                                                 \
    do {                                                                                           \
        if ((count) == (cap)) {                                                                    \
            (cap) = (cap) ? (cap)*2 : 8;                                                           \
            (array) = sb_realloc((array), (cap), sizeof *(array));                                 \
        }                                                                                          \
    } while (0)

void sb_free_pointer(void *address);    /* free(*(void **)address) */
void sb_close_descriptor(int *fd);      /* close(*fd) unless it is negative, then -1; keeps errno */
void sb_close_directory(void *address); /* closedir(*(DIR **)address) unless NULL */

#define sb_autofree     __attribute__((cleanup(sb_free_pointer), unused))
#define sb_autoclose    __attribute__((cleanup(sb_close_descriptor), unused))
#define sb_autoclosedir __attribute__((cleanup(sb_close_directory), unused))

/* Gives up an automatic variable's value: the cleanup then finds NULL or -1. */
#define sb_steal(pointer)                                                                          \
    ({                                                                                             \
        __typeof__(pointer) stolen_ = (pointer);                                                   \
        (pointer) = NULL;                                                                          \
        stolen_;                                                                                   \
    })
int sb_steal_fd(int *fd);

#endif
