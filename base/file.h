/*
 * base/file: whole files, and atomic replacement; whole trees are in base/tree.h.
 *
 * A path is relative to a directory descriptor where one is taken (AT_FDCWD for the working
 * directory). "Atomic" means: written beside its final name under a name starting with
 * SB_TMP_PREFIX, fsynced, closed and checked, renamed into place, and the directory fsynced; a
 * process killed at any moment leaves the old file, the new one, or a stray temporary.
 */
#ifndef SB_BASE_FILE_H
#define SB_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/tree.h"

#define SB_TMP_PREFIX ".tmp-"

/* Opens a regular file for reading, wherever links lead; out (may be NULL) gets its stat. What
 * others may have put there is never waited for: a FIFO, a device, a socket or a directory is an
 * error that says so; /dev/null, with which people say "none", is an empty file. A missing one is
 * SB_E_NOT_FOUND. */
int sb_file_open(int dirfd, const char *path, struct stat *out, struct sb_error *err);

/* Appends a whole file, opened so. One larger than max bytes is an error, found before memory is
 * taken. */
int sb_file_read(int dirfd, const char *path, size_t max, struct sb_buf *out, struct sb_error *err);

/* What both are made of: flags that wait for nobody, the check, and the reading of what was opened
 * and checked. */
#define SB_FILE_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
int sb_file_check(const struct stat *st, const char *path, struct sb_error *err);
int sb_file_take(int fd, const struct stat *st, const char *path, size_t max, struct sb_buf *out,
                 struct sb_error *err);

/* Whether files of that owner are as good as this user's own: root's, and behind sudo the caller's.
 */
bool sb_owner_is_ours(uid_t owner);

/* Reads all that is left of fd, at most max bytes. */
int sb_fd_read(int fd, size_t max, struct sb_buf *out, struct sb_error *err);

/* Writes every byte or fails; what names the destination in the message. */
int sb_fd_write(int fd, const void *data, size_t len, const char *what, struct sb_error *err);

/* Atomic, as above. mode is set exactly, whatever the umask. */
int sb_file_write(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                  struct sb_error *err);

/* The same without fsync of the directory: what is read is whole, but a power cut may bring back
 * what was there before, or nothing. */
int sb_file_replace(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                    struct sb_error *err);

/* The same without fsync at all, for what can be made again: after a power cut the file may be
 * torn, and whoever reads it finds that out by itself. The temporary is made in the directory
 * tmp_dirfd, on the same file system; mode 0600. */
int sb_file_publish(int tmp_dirfd, int dirfd, const char *path, const void *data, size_t len,
                    struct sb_error *err);

/* Creates an empty temporary file in an open directory and writes its name to name_out (at least
 * 32 bytes). Returns the descriptor (O_RDWR) or -1. */
int sb_file_temporary(int dirfd, char *name_out, struct sb_error *err);

/* mkdir -p; new directories get mode (less the umask). Returns 0 also when all exist. */
int sb_directory_make(int dirfd, const char *path, mode_t mode, struct sb_error *err);

/* Opens a directory with O_PATH-free rights (readable); -1 and err on failure. */
int sb_directory_open(int dirfd, const char *path, struct sb_error *err);
/* The names in a directory that was just opened, and by nobody else, but for "." and ".."; -1 and
 * errno when it can't be read. Without a stream: making one costs as much as reading what most
 * directories have. */
int sb_directory_each(int fd, void (*visit)(void *data, const char *name), void *data);

/* fsync of a directory, so that a rename in it survives power loss. */
int sb_directory_sync(int dirfd, struct sb_error *err);

/* Takes away what a directory gives to whatever is made in it: a default ACL, and with it an ACL of
 * its own. Not all file systems have these. */
void sb_directory_plain(int dirfd, const char *path);

bool sb_path_exists(int dirfd, const char *path); /* lstat succeeds */

/* Joins, unless name is absolute; the result is the caller's to free. */
char *sb_path_join(const char *dir, const char *name);

/* The directory part ("." when there is none); the caller's to free. */
char *sb_path_dirname(const char *path);

/* A name that stands in the file of that path, and is relative to its directory; the caller's. */
char *sb_path_beside(const char *path, const char *name);

/* True for dir itself as well; both are clean. */
bool sb_path_is_below(const char *path, const char *dir);

/* Cleans "a//b/./c" and resolves ".." by text alone; keeps a leading "/". "" becomes ".". The
 * caller's to free. */
char *sb_path_clean(const char *path);

#endif
