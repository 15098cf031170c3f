/*
 * layers/direct: large files past the page cache (O_DIRECT): no copy, and no memory that others
 * have to make room with. It waits for the disk, so it is only good as long as that is about as
 * fast as memory; the whole process finds out together, for most often it is one disk.
 *
 *     if (sb_direct_is_fast() && sb_direct_set(fd, true))
 *         n = sb_direct_pwrite(fd, data, len, offset);
 */
#ifndef SB_LAYERS_DIRECT_H
#define SB_LAYERS_DIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Offsets and lengths in the file, and memory unless sb_direct_alignment says less. Enough for any
 * disk. */
#define SB_DIRECT_ALIGNMENT 4096u

/* What memory has to be aligned to; 0: the file system does not say, or takes no direct access in
 * blocks of SB_DIRECT_ALIGNMENT. */
size_t sb_direct_alignment(int fd);

/* False when the file stays, or could only be left, as it is with ordinary access. */
bool sb_direct_set(int fd, bool direct);

/* False once what was written directly took too long. */
bool sb_direct_is_fast(void);

/* As pwrite, to a file that is set direct; counts the time. */
ssize_t sb_direct_pwrite(int fd, const void *data, size_t len, off_t offset);

#endif
