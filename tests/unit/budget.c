/*
 * What foreign names and values may take of memory (base/json, base/map, layers/entry).
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/map.h"
#include "layers/entry.h"
#include "tests/unit/test.h"

/* A few bytes stand for a table: 16 MiB of them would take gigabytes. */
static void test_json_memory(void) {
    enum { N = 3000000 };
    struct sb_error err = {0};
    sb_autobuf struct sb_buf tables = {0}, text = {0};
    sb_buf_addc(&tables, '[');
    for (int i = 0; i < N; i++)
        sb_buf_adds(&tables, i ? ",{}" : "{}");
    sb_buf_addc(&tables, ']');
    CHECK(sb_json_parse(tables.data, tables.len, &err) == NULL);
    CHECK(strstr(err.message, "256 MiB of memory"));
    sb_buf_addc(&text, '"'); /* as many bytes of text are one value */
    for (int i = 0; i < N; i++)
        sb_buf_adds(&text, i % 2 ? "{,[" : "\\\"a");
    sb_buf_addc(&text, '"');
    sb_buf_addc(&text, ']');
    text.data[0] = '[';
    sb_buf_reset(&tables);
    sb_buf_adds(&tables, "[\"");
    sb_buf_add(&tables, text.data + 1, text.len - 1);
    sb_autojson json_t *value = sb_json_parse(tables.data, tables.len, &err);
    CHECK(json_array_size(value) == 1);
}

static void test_seen(void) {
    struct sb_seen seen = {0};
    CHECK(sb_seen_add_n(&seen, "a/b", 1));
    CHECK(sb_seen_add_n(&seen, "a/b", 3));
    CHECK(!sb_seen_add_n(&seen, "ab", 1));
    CHECK(sb_seen_add_n(&seen, "", 0));
    for (int i = 0; i < 2000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i % 1000);
        CHECK_INT(sb_seen_add_n(&seen, key, strlen(key)), i < 1000);
    }
    CHECK_INT(seen.n, 1003);
    CHECK(!sb_seen_add_n(&seen, "a/b", 3));
    sb_seen_free(&seen);
}

/* The last that fits, and the one after it. */
static void test_names(void) {
    struct sb_error err = {0};
    char value[1000] = {0};
    const struct sb_xattr xattr = {(char *)"user.x", value, sizeof value};
    const struct sb_entry entry = {
        .path = "path", .link = "link", .mode = S_IFREG, .xattrs = &xattr, .xattr_count = 1};
    uint64_t total = 0;
    CHECK_INT(sb_names_count(&total, &entry, "the layer", &err), 0);
    CHECK_INT(total, SB_ENTRY_COST + 4 + 4 + 6 + 1000);
    total = SB_NAMES_LIMIT - total;
    CHECK_INT(sb_names_count(&total, &entry, "the layer", &err), 0);
    CHECK_INT(sb_names_count(&total, &entry, "the layer", &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    CHECK(strstr(err.message, "path: the names and extended attributes in the layer take more"));
    CHECK(err.hint[0]);
}

int main(void) {
    test_json_memory();
    test_seen();
    test_names();
    return test_done();
}
