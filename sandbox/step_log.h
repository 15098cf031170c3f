/*
 * sandbox/step_log: the output of programs: to the log, to whoever watches, and the end of it to
 * remember.
 */
#ifndef SB_SANDBOX_STEP_LOG_H
#define SB_SANDBOX_STEP_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

/* Where a step's output goes: the whole log, and whoever shows progress. */
struct sb_step_log {
    int fd;           /* the log file; everything is written here, unclipped */
    const char *path; /* named in messages */
    void (*line)(void *data, const char *text,
                 size_t len); /* each chunk of output, live; may be NULL */
    void *data;
    struct sb_buf tail; /* the last lines written, kept by sb_step_log_write; at most 64 kB */
    size_t own;         /* how much of it is of the program that runs, or ran last */
    int disk;           /* of the store; with 0, nobody looks whether it is full */
    bool full;          /* the program said so, and it was */
};
#define SB_STEP_LITTLE_ROOM                                                                        \
    (8u << 20) /* bytes: one that needs more at once finds the disk full                           \
                */
void sb_step_log_write(struct sb_step_log *log, const char *text, size_t len);
/* What sbuild says itself, whole lines: on lines of its own. */
void sb_step_log_say(struct sb_step_log *log, const char *lines);
/* The last max lines of output, for the error message of a failing step. */
void sb_step_log_last_lines(const struct sb_step_log *log, int max, struct sb_buf *out);

/* From here on it is another program's. */
void sb_step_log_begin(struct sb_step_log *log);
/* What the program said last. */
const char *sb_step_log_said(const struct sb_step_log *log);

/* Of a program that failed: makes it SB_E_NO_SPACE where it found the store's disk full. Returns
 * -1. */
int sb_step_log_full(const struct sb_step_log *log, struct sb_error *err);

#endif
