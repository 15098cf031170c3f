/* Any bytes on their way to a terminal: nothing that it would obey, and JSON of the same meaning.
 */
#include "base/json.h"
#include "base/text.h"
#include "base/visible.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct sb_buf *out, bool lines) {
    const unsigned char *text = (const unsigned char *)sb_buf_text(out);
    FUZZ_CHECK(strlen((const char *)text) == out->len && sb_text_is_utf8((const char *)text));
    for (size_t i = 0; i < out->len; i++) {
        bool space = lines && (text[i] == '\n' || text[i] == '\t');
        FUZZ_CHECK((text[i] >= 0x20 || space) && text[i] != 0x7f);
        FUZZ_CHECK(text[i] != 0xc2 || text[i + 1] >= 0xa0);                  /* U+0080 to U+009F */
        FUZZ_CHECK(strncmp((const char *)text + i, "\xe2\x80\xae", 3) != 0); /* right to left */
    }
}

static void json(const char *text, size_t len) {
    sb_autojson json_t *value = sb_json_parse(text, len, NULL);
    sb_autobuf struct sb_buf written = {0}, out = {0};
    if (!value)
        return;
    sb_json_write(value, &written);
    sb_visible_add_json(&out, sb_buf_text(&written), written.len);
    check(&out, false);
    sb_autojson json_t *again = sb_json_parse(sb_buf_text(&out), out.len, NULL);
    FUZZ_CHECK(json_equal(value, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sb_autobuf struct sb_buf line = {0}, lines = {0}, printed = {0};
    sb_visible_add(&line, (const char *)data, size, SB_VISIBLE_BACKSLASHES);
    check(&line, false);
    sb_visible_add(&lines, (const char *)data, size, SB_VISIBLE_LINES);
    check(&lines, true);
    sb_visible_add_output(&printed, (const char *)data, size);
    check(&printed, true);
    json((const char *)data, size);
    return 0;
}
