/*
 * sandbox/streams: what whoever runs sbuild types and sees, as input and output of a contained
 * program.
 *
 * The program gets pipes, or a terminal of its own, and what passes through them is copied: never a
 * descriptor of this process, by which it could open a file or a terminal of the machine anew.
 *
 *     sb_streams_open       takes signals; with a terminal, it is raw from here on
 *     sb_streams_child      what the program gets as 0, 1 and 2
 *     sb_streams_begin      those are the program's alone now
 *     poll, with sb_streams_poll before and sb_streams_move after, until the program ended
 *     sb_streams_drain      what it said last
 *     sb_streams_free       the terminal is what it was; signals come as before
 */
#ifndef SB_SANDBOX_STREAMS_H
#define SB_SANDBOX_STREAMS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "base/error.h"

struct sb_streams;

/* A terminal where standard input and output are one; else pipes. Until it is freed, signals that
 * ask this process to stop are told by sb_streams_signal alone, once it has begun. For one thread
 * at a time. */
int sb_streams_open(struct sb_streams **out, struct sb_error *err);
void sb_streams_free(struct sb_streams *streams); /* NULL is allowed */

bool sb_streams_has_terminal(const struct sb_streams *streams);
struct winsize sb_streams_size(const struct sb_streams *streams);
/* Borrowed. */
void sb_streams_child(const struct sb_streams *streams, int out[3]);
void sb_streams_begin(struct sb_streams *streams);

enum { SB_STREAMS_POLL = 5 };
void sb_streams_poll(const struct sb_streams *streams, struct pollfd fds[SB_STREAMS_POLL]);
/* Copies what there is. Returns a signal that came for the program, or 0. */
int sb_streams_move(struct sb_streams *streams, const struct pollfd fds[SB_STREAMS_POLL]);
/* Copies output until its end: nobody may hold the program's ends any more. */
void sb_streams_drain(struct sb_streams *streams);

#endif
