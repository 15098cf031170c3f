/* builder/explain: every kind of change is told by its name. */
#include "builder/explain.h"
#include "base/json.h"
#include "base/memory.h"
#include "tests/unit/test.h"

static void check(const char *old_text, const char *new_text, const char *expected) {
    sb_autojson json_t *a = sb_json_parse(old_text, strlen(old_text), NULL);
    sb_autojson json_t *b = sb_json_parse(new_text, strlen(new_text), NULL);
    if (!CHECK(a && b))
        return;
    sb_autofree char *why = sb_explain_change(a, b, "", 0, NULL);
    CHECK_STR(why, expected);
}

#define STEP(text) "{\"kind\":\"steps\",\"steps\":[" text "]}"

static void test_keys(void) {
    check("{\"version\":1}", "{\"version\":2}", "made by another version of sbuild");
    check("{\"kind\":\"copy\"}", "{\"kind\":\"steps\"}", "it is another kind of layer");
    check("{\"platform\":\"linux/amd64\"}", "{\"platform\":\"linux/arm64\"}",
          "the platform changed");
    check("{\"below\":[\"a\"]}", "{\"below\":[\"b\"]}", "a layer below changed");
    check("{\"env\":{\"A\":\"1\"}}", "{\"env\":{\"A\":\"2\"}}", "environment variable A changed");
    check("{\"epoch\":1}", "{\"epoch\":2}", "epoch changed");
    check("{\"bootstrap\":{\"suite\":\"a\"}}", "{\"bootstrap\":{\"suite\":\"b\"}}",
          "the bootstrap changed");
    check("{\"below\":[\"a\"],\"env\":{}}", "{\"below\":[\"b\"],\"env\":{\"X\":\"1\"}}",
          "environment variable X changed");
}

static void test_steps(void) {
    check(STEP("{\"kind\":\"apt\",\"does\":{\"packages\":[\"a\",\"b\"]}}"),
          STEP("{\"kind\":\"apt\",\"does\":{\"packages\":[\"a\",\"b\",\"c\"]}}"), "apt: c added");
    check(STEP("{\"kind\":\"apt\",\"does\":{\"packages\":[\"a\",\"b\"]}}"),
          STEP("{\"kind\":\"apt\",\"does\":{\"packages\":[\"a\"]}}"), "apt: b removed");
    check(STEP("{\"kind\":\"run\",\"does\":{\"script\":\"a\"}}"),
          STEP("{\"kind\":\"run\",\"does\":{\"script\":\"b\"}}"), "run: script changed");
    check(STEP("{\"kind\":\"run\",\"args\":{\"PORT\":\"1\"}}"),
          STEP("{\"kind\":\"run\",\"args\":{\"PORT\":\"2\"}}"), "argument PORT changed");
    check(STEP("{\"kind\":\"run\",\"secrets\":{\"t\":\"1\"}}"),
          STEP("{\"kind\":\"run\",\"secrets\":{\"t\":\"2\"}}"), "secret t changed");
    check(STEP("{\"kind\":\"pip\",\"inputs\":{\"r.txt\":\"1\"}}"),
          STEP("{\"kind\":\"pip\",\"inputs\":{\"r.txt\":\"2\"}}"), "file r.txt changed");
    check(STEP("{\"kind\":\"run\",\"network\":false}"), STEP("{\"kind\":\"run\",\"network\":true}"),
          "run: network changed");
    check(STEP("{\"kind\":\"run\"}"), STEP("{\"kind\":\"apt\"}"), "step 1 is now apt");
    check(STEP("{\"kind\":\"run\"}"), STEP("{\"kind\":\"run\"},{\"kind\":\"apt\"}"),
          "2 steps instead of 1");
}

/* What is in the file may be anything: a damaged record must not crash. */
static void test_odd(void) {
    static const char *const odd[] = {"{}", "{\"steps\":1}", "{\"steps\":[1,\"x\",null]}",
                                      "{\"env\":[]}", "{\"below\":{},\"kind\":[]}"};
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < 5; j++) {
            sb_autojson json_t *a = sb_json_parse(odd[i], strlen(odd[i]), NULL);
            sb_autojson json_t *b = sb_json_parse(odd[j], strlen(odd[j]), NULL);
            sb_autofree char *why = sb_explain_change(a, b, "x", 1, NULL);
            CHECK(why && *why);
        }
    }
}

int main(void) {
    test_keys();
    test_steps();
    test_odd();
    return test_done();
}
