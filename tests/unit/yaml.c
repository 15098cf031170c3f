/* YAML as a tree of nodes: what is read, where it stands, and what is refused. */
#include "base/yaml.h"

#include <stdlib.h>
#include <time.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "tests/unit/test.h"

static struct sb_yaml_document *parse(const char *text, size_t len, struct sb_error *err) {
    struct sb_yaml_document *document = NULL;
    return sb_yaml_parse(text, len, "f.yaml", &document, err) < 0 ? NULL : document;
}

/* The message with which a text is refused; static. */
static const char *refusal_of(const char *text, size_t len) {
    static struct sb_error err;
    sb_error_clear(&err);
    struct sb_yaml_document *document = parse(text, len, &err);
    if (document) {
        sb_yaml_free(document);
        return "(accepted)";
    }
    CHECK_INT(err.code, SB_E_RECIPE);
    return err.message;
}

static const char *refusal(const char *text) {
    return refusal_of(text, strlen(text));
}

static void test_tree(void) {
    static const char text[] = "name: app\n"
                               "version: 1.10\n"
                               "on: no\n"
                               "quoted: \"no\"\n"
                               "list: [a, 'b', {c: d}]\n"
                               "script: |\n"
                               "  one\n"
                               "  two\n"
                               "nothing:\n"
                               "tilde: ~\n"
                               "empty: ''\n"
                               "\xC3\xA4\xC3\xB6: {x: 010}\n";
    struct sb_error err = {0};
    struct sb_yaml_document *document = parse(text, strlen(text), &err);
    if (!CHECK(document))
        return;
    const struct sb_yaml *root = sb_yaml_root(document);
    CHECK_INT(root->type, SB_YAML_MAPPING);
    CHECK_INT(root->count, 10);
    CHECK_STR(sb_yaml_get(root, "version")->text, "1.10");
    CHECK_INT(sb_yaml_get(root, "version")->line, 2);
    CHECK_INT(sb_yaml_get(root, "version")->column, 10);
    CHECK(sb_yaml_get(root, "version")->plain);
    CHECK_STR(sb_yaml_get(root, "on")->text, "no");
    CHECK(!sb_yaml_get(root, "quoted")->plain);
    const struct sb_yaml *list = sb_yaml_get(root, "list");
    CHECK_INT(list->type, SB_YAML_SEQUENCE);
    CHECK_INT(list->count, 3);
    CHECK_STR(list->items[1]->text, "b");
    CHECK_STR(sb_yaml_get(list->items[2], "c")->text, "d");
    CHECK_INT(list->items[2]->column, 16);
    CHECK_STR(sb_yaml_get(root, "script")->text, "one\ntwo\n");
    CHECK(sb_yaml_is_null(sb_yaml_get(root, "nothing")));
    CHECK(sb_yaml_is_null(sb_yaml_get(root, "tilde")));
    CHECK(!sb_yaml_is_null(sb_yaml_get(root, "empty")));
    CHECK(!sb_yaml_get(root, "missing"));
    CHECK(!sb_yaml_get(list, "c"));
    const struct sb_yaml *umlauts = sb_yaml_get(root, "\xC3\xA4\xC3\xB6");
    CHECK_INT(umlauts->column, 5); /* characters, not bytes */
    CHECK_STR(sb_yaml_get(umlauts, "x")->text, "010");
    sb_yaml_free(document);
}

static void test_small(void) {
    static const char *const table[] = {"",        "# nothing\n",      "---\n",     "\xEF\xBB\xBF",
                                        "--- ~\n", "%YAML 1.1\n---\n", "---\n...\n"};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct sb_error err = {0};
        struct sb_yaml_document *document = parse(table[i], strlen(table[i]), &err);
        if (CHECK(document)) {
            CHECK_INT(sb_yaml_root(document)->type, SB_YAML_MAPPING);
            CHECK_INT(sb_yaml_root(document)->count, 0);
        }
        sb_yaml_free(document);
    }
    struct sb_error err = {0};
    struct sb_yaml_document *document = parse("\xEF\xBB\xBF"
                                              "a: b",
                                              7, &err);
    if (CHECK(document))
        CHECK_INT(sb_yaml_root(document)->items[0]->column, 1);
    sb_yaml_free(document);
}

static void test_aliases(void) {
    struct sb_error err = {0};
    static const char text[] = "a: &x [1, 2]\nb: *x\nc: &y {k: *x}\nd: *y\n";
    struct sb_yaml_document *document = parse(text, strlen(text), &err);
    if (!CHECK(document))
        return;
    const struct sb_yaml *root = sb_yaml_root(document);
    CHECK(sb_yaml_get(root, "a") == sb_yaml_get(root, "b"));
    CHECK(sb_yaml_get(sb_yaml_get(root, "d"), "k") == sb_yaml_get(root, "a"));
    sb_yaml_free(document);
    CHECK_STR(refusal("a: *x\n"), "f.yaml:1:4: alias *x: no anchor &x stands before it");
    CHECK_STR(refusal("a: &x [*x]\n"), "f.yaml:1:8: alias *x: no anchor &x stands before it");
}

static void test_refused(void) {
    CHECK_STR(refusal("a: 1\nb: 2\na: 3\n"),
              "f.yaml:3:1: key \"a\": given twice (first in line 1)");
    CHECK_STR(refusal("a: 1\n---\nb: 2\n"),
              "f.yaml:2:1: a second document (expected one in a file)");
    CHECK_STR(refusal("a:\n\tb: 1\n"),
              "f.yaml:2:1: a tab character (YAML is indented with spaces)");
    CHECK_STR(refusal_of("a: b\0c\n", 7), "f.yaml:1:5: a NUL byte: this is no YAML text");
    CHECK_STR(refusal("a: \"x\\0y\"\n"), "f.yaml:1:4: a NUL character in a value");
    CHECK_STR(refusal("a: 1\nb: \xFF\n"),
              "f.yaml:2:4: bytes that are not UTF-8 (expected a text file in UTF-8)");
    CHECK_STR(refusal("a: \x01\n"),
              "f.yaml:1:4: not valid YAML: control characters are not allowed");
    CHECK(strstr(refusal("x: &a {b: c}\ny:\n  <<: *a\n"), "f.yaml:3:3: merge keys (<<)"));
    CHECK_STR(refusal("[a]: b\n"), "f.yaml:1:1: a list as a key (expected a name)");
    CHECK(strstr(refusal("a: !!binary aGk=\n"), "f.yaml:1:4: a tag (!"));
    CHECK(strstr(refusal("a: [1, 2\n"), "f.yaml:2:1: not valid YAML: "));
    CHECK(strstr(refusal("a: b: c\n"), "f.yaml:1:5: not valid YAML: "));
    CHECK(strstr(refusal("a: @b\n"), "f.yaml:1:4: not valid YAML: "));
    CHECK_STR(refusal("a: !!str 5\n"), "(accepted)");
    CHECK_STR(refusal("a: 'tab\there'\n"), "(accepted)");
}

static void test_many_keys(void) {
    struct sb_buf text = {0};
    for (int i = 0; i < 40000; i++)
        sb_buf_addf(&text, "k%d: 1\n", i);
    clock_t start = clock();
    CHECK_STR(refusal_of(text.data, text.len), "(accepted)");
    sb_buf_adds(&text, "k77: 1\n");
    CHECK_STR(refusal_of(text.data, text.len),
              "f.yaml:40001:1: key \"k77\": given twice (first in line 78)");
    CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 5);
    sb_buf_free(&text);
}

/* Each must end with a message, soon, whatever it would expand to. */
static void test_bombs(void) {
    clock_t start = clock();
    CHECK(strstr(refusal("a: &a [x,x,x,x,x,x,x,x,x,x]\n"
                         "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                         "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                         "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                         "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
                         "f: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"),
                 "more than 100000 values"));
    struct sb_buf text = {0};
    sb_buf_adds(&text, "a: &a ");
    for (int i = 0; i < 100000; i++)
        sb_buf_addc(&text, 'x');
    sb_buf_adds(&text, "\nb: [");
    for (int i = 0; i < 1000; i++)
        sb_buf_adds(&text, "*a, ");
    sb_buf_adds(&text, "]\n");
    CHECK(strstr(refusal_of(text.data, text.len), "more than 4194304 bytes"));

    static const char *const nests[] = {"[", "{a: ", "- ", "? ", "a: [", "- - "};
    for (size_t n = 0; n < sizeof nests / sizeof *nests; n++) {
        sb_buf_reset(&text);
        for (int i = 0; i < 50000; i++)
            sb_buf_adds(&text, nests[n]);
        const char *said = refusal_of(text.data, text.len);
        if (!CHECK(strstr(said, "nested more than 64 deep") || strstr(said, "not valid YAML")))
            printf("    %s: %s\n", nests[n], said);
    }
    sb_buf_reset(&text);
    for (int i = 0; i < 300; i++)
        sb_buf_addf(&text, "k%d: &a%d x\n", i, i);
    CHECK_STR(refusal_of(text.data, text.len), "f.yaml:257:7: more than 256 anchors");
    CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 5);
    sb_buf_free(&text);
}

int main(void) {
    test_tree();
    test_small();
    test_aliases();
    test_refused();
    test_many_keys();
    test_bombs();
    return test_done();
}
