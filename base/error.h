/*
 * base/error: how every function of sbuild reports failure.
 *
 * A function that can fail returns 0 or -1 (or a pointer that may be NULL) and fills the
 * `struct sb_error` that its caller owns. Callers add context on the way up; only cli/ prints.
 * Running out of memory is the one failure that exits (see base/memory.h).
 *
 *     struct sb_error err = {0};
 *     if (sb_store_open(path, &store, &err) < 0)
 *         return sb_error_context(&err, "opening the store %s", path);
 *
 * The list below is the one place that defines codes, their names (as `--progress json` prints
 * them) and the exit status each ends in. docs/operations.md shows users the same table.
 */
#ifndef SB_BASE_ERROR_H
#define SB_BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

/* X(code, name, exit status, meaning) */
#define SB_ERROR_CODES(X)                                                                          \
    X(SB_E_NONE, "none", 0, "no error")                                                            \
    X(SB_E_FAILED, "failed", 1, "the work could not be done")                                      \
    X(SB_E_IO, "io", 1, "a file of this machine could not be read or written")                     \
    X(SB_E_NO_SPACE, "no-space", 1, "the disk is full")                                            \
    X(SB_E_NOT_FOUND, "not-found", 1, "a named image, file or program is not there")               \
    X(SB_E_INTERRUPTED, "interrupted", 1, "a signal ended the work")                               \
    X(SB_E_USAGE, "usage", 2, "the command line is wrong")                                         \
    X(SB_E_RECIPE, "recipe", 3, "a recipe, settings or fleet file is invalid")                     \
    X(SB_E_STEP, "step", 4, "a step of a recipe failed, or a test")                                \
    X(SB_E_NETWORK, "network", 5, "a registry or the network failed")                              \
    X(SB_E_INTEGRITY, "integrity", 6, "a digest, size or signature did not match")                 \
    X(SB_E_UNHEALTHY, "unhealthy", 7,                                                              \
      "a service is not healthy; a release that did not become so was rolled back")

enum sb_error_code {
#define X(code, name, status, meaning) code,
    SB_ERROR_CODES(X)
#undef X
};

/* What a caller may have to know beside the code. X(reason, name, meaning) */
#define SB_ERROR_REASONS(X)                                                                        \
    X(SB_REASON_NONE, "", "nothing is said")                                                       \
    X(SB_REASON_PASSING, "passing", "it may work when it is tried again")                          \
    X(SB_REASON_LASTING, "lasting", "it will not")                                                 \
    X(SB_REASON_FORBIDDEN, "forbidden",                                                            \
      "sbuild itself goes no further: it leads where nobody may")                                  \
    X(SB_REASON_DENIED, "denied", "the other side wants credentials, or others")                   \
    X(SB_REASON_MISSING, "missing", "the registry lacks what was referred to")                     \
    X(SB_REASON_IMMUTABLE, "immutable", "what is there may not be replaced")                       \
    X(SB_REASON_CHANGED, "changed", "a file is no longer what it was")

enum sb_error_reason {
#define X(reason, name, meaning) reason,
    SB_ERROR_REASONS(X)
#undef X
};

/* Holds no memory of its own: copy it, keep it on the stack, forget it. Start from {0}. */
struct sb_error {
    enum sb_error_code code;
    enum sb_error_reason reason;
    int os_errno;        /* errno of the call that failed, as sb_fail_errno found it; or 0 */
    char message[16384]; /* one line, or several for a list of recipe errors; cut with "…" */
    char hint[512];      /* what the user can do, or "" */
    /* The part of message that repeats the end of what a program printed, whole lines; or 0. */
    size_t output_at, output_len;
};

/* Each returns -1, so that `return sb_fail(...)` reads as one line. A NULL err is allowed. */
int sb_fail(struct sb_error *err, enum sb_error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends ": " and the text of the current errno; ENOSPC and EDQUOT turn code into SB_E_NO_SPACE.
 * Says what can be done about a disk that is full, read-only or broken. */
int sb_fail_errno(struct sb_error *err, enum sb_error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message of an error that is already set. Returns -1. */
int sb_error_context(struct sb_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Says what to do about an error that is already set; replaces an earlier hint. Returns -1. */
int sb_error_hint(struct sb_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Says why, for callers. Returns -1; NULL is allowed. */
int sb_error_reason(struct sb_error *err, enum sb_error_reason reason);

/* Takes that part out, where what the program printed has been shown. */
void sb_error_drop_output(struct sb_error *err);

void sb_error_clear(struct sb_error *err);

/* Static strings; never NULL. */
const char *sb_error_name(enum sb_error_code code);
const char *sb_error_meaning(enum sb_error_code code);
const char *sb_error_reason_name(enum sb_error_reason reason);
enum sb_error_reason sb_error_reason_named(const char *name); /* SB_REASON_NONE: no such */
int sb_error_exit_status(enum sb_error_code code);

#endif
