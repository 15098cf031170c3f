/*
 * What reaches a terminal of foreign text (base/visible, sb_text_shown).
 */
#include "base/visible.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "tests/unit/test.h"

static void check_visible(unsigned how, const char *text, const char *expected) {
    sb_autofree char *out = sb_visible(text, how);
    CHECK_STR(out, expected);
    sb_autofree char *again = sb_visible(out, SB_VISIBLE_LINES); /* once more changes nothing */
    CHECK_STR(again, expected);
}

static void test_visible(void) {
    check_visible(SB_VISIBLE_ONE_LINE, "", "");
    check_visible(SB_VISIBLE_ONE_LINE, "Größe €𝄞 plain", "Größe €𝄞 plain");
    check_visible(SB_VISIBLE_ONE_LINE, "a\nb\tc\\", "a\\nb\\tc\\");
    check_visible(SB_VISIBLE_BACKSLASHES, "a\nb\\c", "a\\nb\\\\c");
    check_visible(SB_VISIBLE_LINES, "a\nb\tc\r", "a\nb\tc\\x0d");
    check_visible(SB_VISIBLE_LINES, "\033]0;title\007\177", "\\x1b]0;title\\x07\\x7f");
    check_visible(SB_VISIBLE_LINES,
                  "\302\233"
                  "31m",
                  "\\xc2\\x9b31m"); /* CSI in one character */
    check_visible(SB_VISIBLE_LINES, "\302\200\302\237\302\240", "\\xc2\\x80\\xc2\\x9f\302\240");
    check_visible(SB_VISIBLE_LINES,
                  "\233"
                  "31m\377",
                  "\\x9b31m\\xff"); /* no UTF-8 */
    check_visible(SB_VISIBLE_LINES, "a\u202eb\u2066c\u2069",
                  "a\\xe2\\x80\\xaeb\\xe2\\x81\\xa6c\\xe2\\x81\\xa9");
    check_visible(SB_VISIBLE_LINES, "\u2028\u2029", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9");
    check_visible(SB_VISIBLE_LINES, "\u200b\ufeff\u200e",
                  "\\xe2\\x80\\x8b\\xef\\xbb\\xbf\\xe2\\x80\\x8e");
    check_visible(SB_VISIBLE_LINES, "\U000e0041", "\\xf3\\xa0\\x81\\x81");
    check_visible(SB_VISIBLE_LINES, "a\u200db", "a\u200db"); /* joins letters */
}

static void check_output(const char *text, const char *expected) {
    sb_autobuf struct sb_buf out = {0};
    sb_visible_add_output(&out, text, strlen(text));
    CHECK_STR(sb_buf_text(&out), expected);
}

static void test_output(void) {
    check_output("plain\ttext ü\n", "plain\ttext ü\n");
    check_output("\033[1;31mred\033[0m \033[2K\033[1Aup", "red up");
    check_output("\302\233"
                 "31mred\302\233m",
                 "red");
    check_output("\033]0;title\007after", "after");
    check_output("\033]8;;http://h/\033\\link\033]8;;\033\\", "link");
    check_output("\033]0;never ends\nnext", "\nnext");
    check_output("\033Pq#0\033\\after\033(Bx\033cy", "afterxy");
    check_output("bell\007 del\177 back\010", "bell del back");
    check_output("\377\u202e\u2028x\033", "\\xffx");
    check_output("\033[", "");
    check_output("\033[12\nx", "\nx");
    check_output("\033\nx", "\nx");
}

static void check_json(const char *text, const char *expected) {
    sb_autobuf struct sb_buf out = {0}, json = {0};
    sb_autojson json_t *value = json_pack("{s:s}", "k", text), *back = NULL;
    sb_json_write(value, &json);
    sb_visible_add_json(&out, json.data, json.len);
    CHECK_STR(out.data, expected);
    back = sb_json_parse(out.data, out.len, NULL);
    CHECK(json_equal(value, back));
}

static void test_json(void) {
    check_json("ü€", "{\"k\":\"ü€\"}");
    check_json("\033\302\233\177\u202e", "{\"k\":\"\\u001B\\u009b\\u007f\\u202e\"}");
    check_json("\U000e0041", "{\"k\":\"\\udb40\\udc41\"}");
}

static void test_shown(void) {
    CHECK_STR(sb_text_shown("a\tb\302\233\u202e").text, "\"a\\tb\\xc2\\x9b\\xe2\\x80\\xae\"");
    CHECK_STR(sb_text_shown("\233\377").text, "\"\\x9b\\xff\"");
    CHECK_STR(sb_text_shown("https://user:secret@h/x").text, "\"https://…@h/x\"");
    char text[4096];
    memset(text, 0x1b, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct sb_text_shown shown = sb_text_shown(text);
    CHECK(strlen(shown.text) < sizeof shown.text && strlen(shown.text) > 100);
    CHECK(!strncmp(shown.text, "\"\\x1b\\x1b", 9));
    CHECK(strstr(shown.text, "…\""));
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "ä", 2);
    shown = sb_text_shown(text);
    CHECK(sb_text_is_utf8(shown.text));
}

int main(void) {
    test_visible();
    test_output();
    test_json();
    test_shown();
    return test_done();
}
