/*
 * base/beneath: files that a name from outside may lead to, and none else.
 *
 * A path that a recipe, an archive or an image chose is opened relative to a directory, and the
 * kernel keeps it there (openat2): neither "..", nor an absolute name, nor a symbolic link on the
 * way leads out, be it that somebody renames things meanwhile. What is read as a file is one: a
 * FIFO, a device or a socket in its place is told, never opened for long.
 *
 *     int fd = sb_beneath_open(dirfd, "blobs/sha256/…", 0, &st, &err);
 */
#ifndef SB_BASE_BENEATH_H
#define SB_BASE_BENEATH_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/error.h"

enum {
    SB_BENEATH_NO_LINKS = 1, /* no symbolic link at all, the last part included */
};

/* ---- openat2, tried again when something moved meanwhile; -1 and errno; close-on-exec ---- */

/* Links may stay below dirfd; one that leads out is EXDEV, and with SB_BENEATH_NO_LINKS any is
 * ELOOP. "" is dirfd itself. */
int sb_open_beneath(int dirfd, const char *path, uint64_t flags, int how);
/* A directory, to read and for names in it; no symbolic link is followed. */
int sb_directory_beneath(int dirfd, const char *path);
/* As a chroot would see it: "/" and ".." end at dirfd. */
int sb_open_in_root(int dirfd, const char *path, uint64_t flags);

/* ---- regular files ---- */

/* Opens a regular file for reading; out (may be NULL) gets its stat. A missing one is
 * SB_E_NOT_FOUND; a link that leads out, and what is no file, are errors that say so. */
int sb_beneath_open(int dirfd, const char *path, int how, struct stat *out, struct sb_error *err);
/* Appends a whole one, as sb_file_read does. */
int sb_beneath_read(int dirfd, const char *path, int how, size_t max, struct sb_buf *out,
                    struct sb_error *err);

#endif
