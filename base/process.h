/*
 * base/process: other programs.
 *
 * A child starts with no inherited descriptors but 0, 1 and 2 (every descriptor in sbuild is
 * close-on-exec), default signal handlers, and dies with its parent (PR_SET_PDEATHSIG). Safe to
 * use from several threads.
 */
#ifndef SB_BASE_PROCESS_H
#define SB_BASE_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/interrupt.h"

struct sb_process_options {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    const char *const *env;  /* NULL-terminated; NULL: this process's own */
    const char *cwd;         /* NULL: this process's own */
    int in, out, err;        /* descriptors for 0, 1, 2; -1: /dev/null; used, not taken over */
    int more;                /* for 3; 0: none */
    bool new_group;          /* a process group of its own, so that it can be killed whole */
    bool survives; /* does not die with its parent, which for the kernel is the thread that started
                      it: for a program that ends when its input does */
};

/* Starts a program; a program that is missing or not executable is reported here, as
 * SB_E_NOT_FOUND. Returns its pid, or -1. */
pid_t sb_process_start(const struct sb_process_options *options, struct sb_error *err);

/* Waits; returns the exit status, 128 + N for a death by signal N, or -1 and err. */
int sb_process_wait(pid_t pid, struct sb_error *err);

/* Runs argv with no input, and appends what it writes to stdout (at most max bytes) to out. What it
 * writes to stderr is appended to diagnostics when given, else goes to /dev/null. Returns its exit
 * status as sb_process_wait. */
int sb_process_capture(const char *const *argv, const char *cwd, size_t max, struct sb_buf *out,
                       struct sb_buf *diagnostics, struct sb_error *err);
/* The same with an environment of its own, and ended when this process is asked to stop: then it is
 * SB_E_INTERRUPTED. seconds: how long it and what it starts may take; 0: without an end. */
int sb_process_capture_env(const char *const *argv, const char *const *env, const char *cwd,
                           size_t max, int seconds, struct sb_buf *out, struct sb_buf *diagnostics,
                           struct sb_error *err);

/* The path of a program in PATH (or /usr/sbin, /sbin), the caller's to free; NULL when missing. */
char *sb_process_find(const char *program);

/* The absolute path of this very program, also when it was replaced meanwhile, as upgrades do; the
 * caller's to free. */
char *sb_process_program(struct sb_error *err);

/* In a child, before it becomes another user: a session keyring of its own, as the keys in this one
 * are whoever holds it may use, whatever his ids. False when it could not be left; a kernel without
 * keyrings has none to leave. Only async-signal-safe calls. */
bool sb_process_leave_keyring(void);

/* Takes 0, 1 and 2 where whoever started this process left them closed: files and pipes would get
 * these numbers, and what is read or printed would be theirs. To use one still fails. First of
 * all. */
void sb_process_take_standard(void);

#endif
