#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static const struct {
    const char *name;
    int status;
    const char *meaning;
} codes[] = {
#define X(code, name, status, meaning) [code] = {name, status, meaning},
    SB_ERROR_CODES(X)
#undef X
};

/* Marks a text that did not fit, without cutting a UTF-8 sequence in two. */
static void mark_cut(char *text, size_t size) {
    size_t end = size - sizeof "…";
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80)
        end--;
    memcpy(text + end, "…", sizeof "…");
}

__attribute__((format(printf, 3, 0))) static void format(char *out, size_t size, const char *fmt,
                                                         va_list ap) {
    int n = vsnprintf(out, size, fmt, ap);
    if (n < 0)
        out[0] = '\0';
    else if ((size_t)n >= size)
        mark_cut(out, size);
}

int sb_fail(struct sb_error *err, enum sb_error_code code, const char *fmt, ...) {
    sb_assert(code != SB_E_NONE);
    if (!err)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    err->reason = SB_REASON_NONE;
    err->os_errno = 0;
    err->hint[0] = '\0';
    err->output_at = err->output_len = 0;
    format(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
    return -1;
}

static const char *hint_for(int code) {
    switch (code) {
    case ENOSPC:
        return "free some space there: bytes, or files where there may be no more of them";
    case EDQUOT:
        return "there is a quota, of a user or a project, and it is used up";
    case EFBIG:
        return "it is larger than files may be there, or than a limit allows (ulimit -f)";
    case EROFS:
        return "that file system is mounted read-only";
    case EIO:
        return "the disk, or what is before it, fails: the kernel's log says more (dmesg)";
    case EMFILE:
    case ENFILE:
        return "more files are open than may be (ulimit -n)";
    default:
        return NULL;
    }
}

int sb_fail_errno(struct sb_error *err, enum sb_error_code code, const char *fmt, ...) {
    int saved = errno;
    if (!err)
        return -1;
    char what[sizeof err->message - 128];
    va_list ap;
    va_start(ap, fmt);
    format(what, sizeof what, fmt, ap);
    va_end(ap);
    sb_fail(err, code, "%s: %s", what, strerror(saved));
    err->os_errno = saved;
    if (saved == ENOSPC || saved == EDQUOT)
        err->code = SB_E_NO_SPACE;
    const char *hint = hint_for(saved);
    if (hint)
        sb_error_hint(err, "%s", hint);
    errno = saved;
    return -1;
}

int sb_error_context(struct sb_error *err, const char *fmt, ...) {
    if (!err)
        return -1;
    sb_assert(err->code != SB_E_NONE);
    char whole[sizeof err->message];
    va_list ap;
    va_start(ap, fmt);
    format(whole, sizeof whole, fmt, ap);
    va_end(ap);
    size_t n = strlen(whole);
    int m = snprintf(whole + n, sizeof whole - n, ": %s", err->message);
    bool cut = m < 0 || (size_t)m >= sizeof whole - n;
    if (cut)
        mark_cut(whole, sizeof whole);
    err->output_at += err->output_len ? n + strlen(": ") : 0;
    if (cut && err->output_at + err->output_len > strlen(whole))
        err->output_at = err->output_len = 0;
    memcpy(err->message, whole, sizeof whole);
    return -1;
}

int sb_error_hint(struct sb_error *err, const char *fmt, ...) {
    if (!err)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    format(err->hint, sizeof err->hint, fmt, ap);
    va_end(ap);
    return -1;
}

int sb_error_reason(struct sb_error *err, enum sb_error_reason reason) {
    if (err)
        err->reason = reason;
    return -1;
}

void sb_error_drop_output(struct sb_error *err) {
    char *output = err->message + err->output_at;
    if (err->output_at + err->output_len > strlen(err->message))
        return;
    memmove(output, output + err->output_len, strlen(output + err->output_len) + 1);
    err->output_at = err->output_len = 0;
}

void sb_error_clear(struct sb_error *err) {
    *err = (struct sb_error){0};
}

static const char *const reasons[] = {
#define X(reason, name, meaning) [reason] = (name),
    SB_ERROR_REASONS(X)
#undef X
};

const char *sb_error_reason_name(enum sb_error_reason reason) {
    return reasons[reason];
}

enum sb_error_reason sb_error_reason_named(const char *name) {
    size_t i = sizeof reasons / sizeof *reasons;
    while (i-- > 1 && strcmp(reasons[i], name) != 0)
        ;
    return (enum sb_error_reason)i;
}

const char *sb_error_name(enum sb_error_code code) {
    return codes[code].name;
}

const char *sb_error_meaning(enum sb_error_code code) {
    return codes[code].meaning;
}

int sb_error_exit_status(enum sb_error_code code) {
    return codes[code].status;
}
