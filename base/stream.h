/*
 * base/stream: files that the person at the command line named, whatever they are: a pipe of the
 * shell (<(command)), /dev/stdin, a terminal. Waiting for them ends when this process is asked to.
 */
#ifndef SB_BASE_STREAM_H
#define SB_BASE_STREAM_H

#include "base/buffer.h"
#include "base/error.h"

/* Opens it for reading; of a FIFO once there is a writer. */
int sb_stream_open(const char *path, struct sb_error *err);

/* Appends all of it, to its end; more than max bytes is an error. */
int sb_stream_read(const char *path, size_t max, struct sb_buf *out, struct sb_error *err);

#endif
