/*
 * base/sparse: the holes of a file, which read as zeros and need not be read.
 *
 *     for (uint64_t at = 0, end; at < size; at = end) {
 *         bool hole;
 *         if (sb_sparse_next(fd, at, size, &end, &hole) < 0) …
 *     }
 */
#ifndef SB_BASE_SPARSE_H
#define SB_BASE_SPARSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"

/* Whether it pays to look for holes. */
bool sb_sparse_is(const struct stat *st);

/* The stretch that begins at `at`, up to *out_end (at most size); moves the file's position. A file
 * system that can't tell has no holes. -1 and errno. */
int sb_sparse_next(int fd, uint64_t at, uint64_t size, uint64_t *out_end, bool *out_hole);

/* The first len bytes of one file into an empty other one, at the same places; by the kernel where
 * it can. */
int sb_sparse_copy(int from, int to, uint64_t len, struct sb_error *err);

#endif
