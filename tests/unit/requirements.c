/* steps/requirements: what pip's requirements files name in the context, and what leads out. */
#include "steps/requirements.h"
#include "tests/unit/layer_test.h"

#include "base/file.h"

static struct layer_test t;

static void shell(const char *script) {
    sb_autofree char *command = sb_format("cd '%s' && %s", t.dir, script);
    CHECK(system(command) == 0);
}

static void put(const char *path, const char *text) {
    struct sb_error err = {0};
    sb_autofree char *whole = sb_path_join(t.dir, path);
    CHECK(sb_file_write(AT_FDCWD, whole, text, strlen(text), 0644, &err) == 0);
}

static void add_list(struct sb_buf *out, char kind, const struct sb_strings *list) {
    for (size_t i = 0; i < list->n; i++)
        sb_buf_addf(out, "%s%c %s", out->len ? ", " : "", kind, list->v[i]);
}

/* "f FILE, p PROJECT, a ARCHIVE, l LINKS" of all that req/a.txt with that text names; or the
 * error, without the context's path. */
static void check(const char *text, const char *expected) {
    struct sb_error err = {0};
    struct sb_context *context = NULL;
    struct sb_requirements names = {0};
    struct sb_pip pip = {0};
    sb_autobuf struct sb_buf out = {0};
    put("req/a.txt", text);
    sb_strings_add(&pip.requirements, "req/a.txt");
    CHECK(sb_context_open(t.dir, t.store, &context, &err) == 0);
    if (sb_requirements_read(&pip, context, &names, &err) < 0) {
        const char *said = strstr(err.message, "/req/");
        sb_buf_addf(&out, "%.*s", said ? (int)strcspn(said, "\n") : 0, said ? said : "");
        if (!said)
            sb_buf_adds(&out, err.message);
        char *where = strstr(out.data, " in the context ");
        where = where ? where : strstr(out.data, " the context ");
        if (where)
            *where = '\0';
    } else {
        add_list(&out, 'f', &names.files);
        add_list(&out, 'p', &names.projects);
        add_list(&out, 'a', &names.archives);
        add_list(&out, 'l', &names.links);
    }
    if (!CHECK(!strcmp(sb_buf_text(&out), expected)))
        printf("    %s\n    %s\n    %s\n", text, sb_buf_text(&out), expected);
    sb_requirements_free(&names);
    sb_context_close(context);
    sb_strings_free(&pip.requirements);
}

static void test_lines(void) {
    static const char *const nothing[] = {
        "",
        "\n\n",
        "aa\n",
        "aa==1 ; python_version < '3'\n",
        "# -r b.txt\n",
        "aa # -r b.txt\n",
        "--hash=sha256:aa\n",
        "aa \\\n  --hash=sha256:11 \\\n  --hash=sha256:22\n",
        "-i https://example.org/simple\n--extra-index-url=https://example.org\n--no-index\n--pre\n",
        "git+https://example.org/a/b.git@v1#egg=b\n",
        "-e git+ssh://git@example.org/b#egg=b\n",
        "aa @ https://example.org/aa.whl\n",
        "aa[x,y] @ git+file:///srv/aa\n",
        "file:///srv/aa.whl\n",
        "/srv/aa.whl\n",
        "-r https://example.org/b.txt\n",
        "-e /app\n",
        "-f /srv/wheels\n",
        "-r /etc/x.txt\n",
        "-f https://example.org/wheels\n",
        "aa.zip-name\n",
        "-r\n",
        "-",
        "missing.whl\n",
        "zope.interface\n",
        "aa\r\nbb\r\n",
    };
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
        check(nothing[i], "f req/a.txt");
    check("-r b.txt\n", "f req/a.txt, f req/b.txt");
    check("-rb.txt", "f req/a.txt, f req/b.txt");
    check("\xEF\xBB\xBF--requirement=b.txt\r\n", "f req/a.txt, f req/b.txt");
    check("--requirement b.txt # why\n", "f req/a.txt, f req/b.txt");
    check("-r \\\n  b.txt\n", "f req/a.txt, f req/b.txt");
    check("aa \\\n# a comment ends it\n-r b.txt\n", "f req/a.txt, f req/b.txt");
    check("-r './b.txt'\n-r \"../req/b.txt\"\n", "f req/a.txt, f req/b.txt");
    check("-c ../c.txt\n--constraint ../c.txt\n", "f req/a.txt, f c.txt");
    check("./pkg\npkg/\n./pkg[x] ; a == 'b'\n-e pkg\n--editable=./pkg[x,y]\n",
          "f req/a.txt, p pkg");
    check("-e .\n", "f req/a.txt, p .");
    check(".[dev]\n", "f req/a.txt, p .");
    check("pkg @ file:pkg\nfile:./pkg#egg=pkg\nfile:%70kg\n", "f req/a.txt, p pkg");
    check("wheels/a.whl\n./wheels/a.whl --hash=sha256:11\na.tar.gz\n",
          "f req/a.txt, a wheels/a.whl, a a.tar.gz");
    check("-f wheels\n--find-links=../wheels\n-f beside\n", "f req/a.txt, l wheels, l req/beside");
}

static void test_mistakes(void) {
    check("\n\n-r no.txt\n", "/req/a.txt:3: no.txt: there is no req/no.txt");
    check("aa \\\n  ==1\n-c ../no.txt\n", "/req/a.txt:3: ../no.txt: there is no no.txt");
    check("aa\\\n-r no.txt\n", "f req/a.txt"); /* "aa-r no.txt", to pip too */
    check("./no[x]\n", "/req/a.txt:1: ./no[x]: there is no no");
    check("-e no\n", "/req/a.txt:1: no: there is no no");
    check("-f no\n", "/req/a.txt:1: no: there is no no");
    check("-r ../../x\n", "/req/a.txt:1: ../../x lies outside");
    check("../x\n", "/req/a.txt:1: ../x lies outside");
    check("file:../x\n", "/req/a.txt:1: ../x lies outside");
    check("-r link.txt\n", "/req/a.txt:1: req/link.txt: pip's files may not be reached through "
                           "symbolic links");
    check("-r ../linked/b.txt\n", "/req/a.txt:1: linked/b.txt: pip's files may not be reached "
                                  "through symbolic links");
    check("-r beside\n", "/req/a.txt:1: beside: not a file");
    check("-r a.txt\n", "/req/a.txt:1: req/a.txt includes itself");
    check("-r back.txt\n", "/req/back.txt:1: req/a.txt includes itself");
    check("-r ${X}.txt\n", "/req/a.txt:1: ${X}.txt: a path with an environment variable");
}

/* Each file includes the next. */
static void test_depth(void) {
    for (int i = 0; i < 40; i++) {
        sb_autofree char *path = sb_format("req/deep%d.txt", i);
        sb_autofree char *text = sb_format("-r deep%d.txt\n", i + 1);
        put(path, i < 39 ? text : "");
    }
    check("-r deep0.txt\n", "/req/deep30.txt:1: deep31.txt: files that include one another more "
                            "than 32 deep");
}

static void check_unlinked(const char *text, const char *expected) {
    sb_autofree char *copy = sb_strdup(text);
    sb_requirements_unlink(copy);
    CHECK_STR(copy, expected);
}

static void test_editable(void) {
    check_unlinked("aa\n-e ./pkg\n", "aa\n ././pkg\n");
    check_unlinked("-e pkg", " ./pkg");
    check_unlinked("-epkg\n", "./pkg\n");
    check_unlinked("  --editable=.[x]\r\n", "           ./.[x]\r\n");
    check_unlinked("--editable  pkg ; a\n", "          ./pkg ; a\n");
    check_unlinked("-e file:pkg\n", "   file:pkg\n");
    check_unlinked("-e 'a b'\n", "   'a b'\n");
    static const char *const kept[] = {
        "-e /app\n", "-e git+https://x/y#egg=y\n", "--extra-x\n", "-e\n", "-e ", "--editables=x\n",
        "a-e b\n"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        check_unlinked(kept[i], kept[i]);
}

int main(void) {
    t = layer_test_start();
    shell("mkdir -p req/beside pkg wheels && touch req/b.txt c.txt wheels/a.whl a.tar.gz && "
          "ln -s b.txt req/link.txt && ln -s req linked && echo -r a.txt >req/back.txt");
    test_lines();
    test_mistakes();
    test_depth();
    test_editable();
    layer_test_end(&t);
    return test_done();
}
