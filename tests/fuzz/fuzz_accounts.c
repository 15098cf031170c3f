/* Any bytes as passwd and group of an image, from which a service's are made. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "deploy/accounts.h"

#define OLD 1000u
#define NEW 1879048192u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each line stays, and those of the number are there once more. */
static void check(const char *table, bool groups) {
    sb_autobuf struct sb_buf out = {0}, again = {0};
    size_t lines = 0, made = 0;
    bool any = sb_accounts_renumber(table, OLD, NEW, groups, &out);
    for (const char *c = table; *c; c++)
        lines += *c == '\n' || !c[1];
    for (const char *c = sb_buf_text(&out); *c; c++)
        made += *c == '\n';
    if (any ? made <= lines || made > 2 * lines || !strstr(sb_buf_text(&out), ":1879048192")
            : out.len != 0)
        abort();
    if (any && !sb_accounts_renumber(sb_buf_text(&out), NEW, OLD, groups, &again))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sb_autofree char *table = sb_strndup((const char *)data, size);
    check(table, false);
    check(table, true);
    return 0;
}
