/*
 * base/uncached: reading and writing gigabytes without filling the page cache with them.
 *
 * As read, pread and pwrite, with RWF_DONTCACHE (Linux 6.14): what was in the cache already is used
 * and stays, what had to be brought in is dropped when it was read, or has reached the disk. So
 * other files keep their place, and the same few pages serve all the time: a virtual machine that
 * is given its memory when it first touches it writes several times as fast that way. An older
 * kernel, or a file system that does not know of it, does as always.
 */
#ifndef SB_BASE_UNCACHED_H
#define SB_BASE_UNCACHED_H

#include <stddef.h>
#include <sys/types.h>

ssize_t sb_read_uncached(int fd, void *data, size_t len);
ssize_t sb_pread_uncached(int fd, void *data, size_t len, off_t offset);
ssize_t sb_pwrite_uncached(int fd, const void *data, size_t len, off_t offset);

#endif
