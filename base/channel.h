/*
 * base/channel: messages between sbuild and the program that speaks HTTP for it (http/), over a
 * Unix socket of type SOCK_SEQPACKET, on which a message arrives whole or not at all.
 *
 * A message is one byte of type, then its payload, and may carry one open descriptor. The types and
 * what they mean are the matter of who talks: docs/formats.md, "Between sbuild and sbuild-http".
 */
#ifndef SB_BASE_CHANNEL_H
#define SB_BASE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

#define SB_CHANNEL_LIMIT (128u << 10) /* bytes of a payload at most */

/* Both ends, close-on-exec, with room for several messages. */
int sb_channel_pair(int out_ends[2], struct sb_error *err);

/* Waits until there is room. passed_fd: -1 for none; it stays the caller's. When the other end is
 * gone: SB_E_FAILED with os_errno EPIPE, and no signal. */
int sb_channel_send(int fd, char type, const void *payload, size_t len, int passed_fd,
                    struct sb_error *err);

/* Waits for a message; payload replaces what is in out. Returns 1, 0 when the other end is gone, or
 * -1. A descriptor that came with it is the caller's (*out_fd), -1 when there is none; with out_fd
 * NULL it is closed. */
int sb_channel_receive(int fd, char *out_type, struct sb_buf *out, int *out_fd,
                       struct sb_error *err);

#endif
