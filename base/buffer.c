#include "base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

void sb_buf_reserve(struct sb_buf *buf, size_t more) {
    sb_assert(buf->len <= buf->cap && more < SIZE_MAX / 4);
    if (buf->cap - buf->len > more)
        return;
    size_t cap = buf->cap ? buf->cap : 64;
    while (cap - buf->len <= more)
        cap *= 2;
    buf->data = sb_realloc(buf->data, cap, 1);
    buf->cap = cap;
}

void sb_buf_add(struct sb_buf *buf, const void *data, size_t len) {
    sb_buf_reserve(buf, len);
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void sb_buf_addc(struct sb_buf *buf, char c) {
    sb_buf_add(buf, &c, 1);
}

void sb_buf_adds(struct sb_buf *buf, const char *text) {
    sb_buf_add(buf, text, strlen(text));
}

void sb_buf_addf(struct sb_buf *buf, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n > 0) {
        sb_buf_reserve(buf, (size_t)n + 1);
        vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    }
    va_end(again);
}

void sb_buf_reset(struct sb_buf *buf) {
    buf->len = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

void sb_buf_free(struct sb_buf *buf) {
    free(buf->data);
    *buf = (struct sb_buf){0};
}

const char *sb_buf_text(const struct sb_buf *buf) {
    return buf->data ? buf->data : "";
}

char *sb_buf_steal(struct sb_buf *buf) {
    char *data = buf->data ? buf->data : sb_strdup("");
    *buf = (struct sb_buf){0};
    return data;
}

void sb_strings_take(struct sb_strings *list, char *text) {
    if (list->n + 1 >= list->cap) {
        list->cap = list->cap ? list->cap * 2 : 8;
        list->v = sb_realloc(list->v, list->cap, sizeof *list->v);
    }
    list->v[list->n++] = text;
    list->v[list->n] = NULL;
}

void sb_strings_add(struct sb_strings *list, const char *text) {
    sb_strings_take(list, sb_strdup(text));
}

void sb_strings_addf(struct sb_strings *list, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    if (vasprintf(&text, fmt, ap) < 0)
        text = sb_strdup("");
    va_end(ap);
    sb_strings_take(list, text);
}

void sb_strings_copy(struct sb_strings *to, const struct sb_strings *from) {
    for (size_t i = 0; i < from->n; i++)
        sb_strings_add(to, from->v[i]);
}

static int compare_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void sb_strings_sort(struct sb_strings *list) {
    if (list->n > 1)
        qsort(list->v, list->n, sizeof *list->v, compare_text);
}

bool sb_strings_has(const struct sb_strings *list, const char *text) {
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->v[i], text))
            return true;
    return false;
}

void sb_strings_free(struct sb_strings *list) {
    for (size_t i = 0; i < list->n; i++)
        free(list->v[i]);
    free(list->v);
    *list = (struct sb_strings){0};
}
