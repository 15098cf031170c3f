#include "deploy/host/accounts.h"

#include <stdlib.h>
#include <string.h>

/* The fields NAME:PASSWORD:NUMBER, and the rest of the line from the colon on. */
struct line {
    const char *number, *rest;
};

static bool take_apart(const char *line, size_t n, struct line *out) {
    const char *end = line + n, *colon = memchr(line, ':', n);
    colon = colon ? memchr(colon + 1, ':', (size_t)(end - colon - 1)) : NULL;
    if (!colon)
        return false;
    out->number = colon + 1;
    out->rest = memchr(out->number, ':', (size_t)(end - out->number));
    return out->rest && out->rest > out->number;
}

static bool is_number(const char *text, const char *end, uint32_t number) {
    char *stop;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long long value = strtoull(text, &stop, 10);
    return stop == end && value == number;
}

bool sb_accounts_renumber(const char *table, uint32_t old, uint32_t new, bool groups,
                          struct sb_buf *out) {
    size_t before = out->len;
    bool any = false;
    while (*table) {
        size_t n = strcspn(table, "\n");
        struct line line;
        if (take_apart(table, n, &line) && is_number(line.number, line.rest, old)) {
            const char *rest = line.rest;
            sb_buf_addf(out, "%.*s%u", (int)(line.number - table), table, new);
            if (!groups) { /* its group has the same number */
                const char *next = memchr(rest + 1, ':', (size_t)(table + n - rest - 1));
                sb_buf_addf(out, ":%u", new);
                rest = next ? next : table + n;
            }
            sb_buf_addf(out, "%.*s\n", (int)(table + n - rest), rest);
            any = true;
        }
        sb_buf_addf(out, "%.*s\n", (int)n, table);
        table += n + (table[n] == '\n');
    }
    if (!any)
        out->len = before;
    return any;
}
