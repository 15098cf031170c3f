/*
 * sandbox/inroot_files: reading and making files below a root file system that an image owns; names
 * are looked up as sandbox/inroot says, with or without a leading "/".
 */
#ifndef SB_SANDBOX_INROOT_FILES_H
#define SB_SANDBOX_INROOT_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"

bool sb_inroot_exists(int root, const char *path); /* a symlink that leads nowhere doesn't */

/* Appends a whole regular file of at most max bytes. */
int sb_inroot_read(int root, const char *path, size_t max, struct sb_buf *out,
                   struct sb_error *err);

/* Opens the directory, making what is missing of it, root's, mode 0755 and with that time. */
int sb_inroot_directory(int root, const char *path, int64_t mtime, struct sb_error *err);

#endif
