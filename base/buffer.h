/*
 * base/buffer: bytes that grow, and lists of strings.
 *
 * A buffer always ends in a NUL byte beyond `len`, so `data` is a C string once anything was
 * added (before that it is NULL: use sb_buf_text). Start from {0}, end with sb_buf_free or declare
 * it sb_autobuf.
 */
#ifndef SB_BASE_BUFFER_H
#define SB_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct sb_buf {
    char *data;
    size_t len, cap;
};

void sb_buf_reserve(struct sb_buf *buf, size_t more);
void sb_buf_add(struct sb_buf *buf, const void *data, size_t len);
void sb_buf_addc(struct sb_buf *buf, char c);
void sb_buf_adds(struct sb_buf *buf, const char *text);
void sb_buf_addf(struct sb_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sb_buf_reset(struct sb_buf *buf); /* len = 0, keeps the memory */
void sb_buf_free(struct sb_buf *buf);
const char *sb_buf_text(const struct sb_buf *buf); /* "" when nothing was ever added */
char *sb_buf_steal(struct sb_buf *buf);            /* the caller's to free; buf starts anew */

#define sb_autobuf __attribute__((cleanup(sb_buf_free), unused))

/* A list of strings that it owns; `v[n]` is always NULL once anything was added (an argv). */
struct sb_strings {
    char **v;
    size_t n, cap;
};

void sb_strings_add(struct sb_strings *list, const char *text);
void sb_strings_take(struct sb_strings *list, char *text); /* takes ownership */
void sb_strings_addf(struct sb_strings *list, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void sb_strings_copy(struct sb_strings *to, const struct sb_strings *from); /* appends */
void sb_strings_sort(struct sb_strings *list);                              /* by bytes */
bool sb_strings_has(const struct sb_strings *list, const char *text);
void sb_strings_free(struct sb_strings *list);

#define sb_autostrings __attribute__((cleanup(sb_strings_free), unused))

#endif
