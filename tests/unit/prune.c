/* What the categories of prune take, and how it is removed. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "document/rules.h"
#include "steps/pruning.h"
#include "tests/unit/test.h"

static void test_categories(void) {
    static const struct {
        const char *category, *path;
        bool link, taken;
    } cases[] = {
        {"docs", "usr/share/doc/bash/README.gz", false, true},
        {"docs", "usr/share/doc/bash/copyright", false, false},
        {"docs", "usr/share/doc/libfoo2", true, false}, /* leads to another's copyright */
        {"docs", "usr/share/doc/bash/examples", true, true},
        {"docs", "usr/share/info/dir", false, true},
        {"docs", "usr/share/documents/x", false, false},
        {"docs", "opt/usr/share/doc/x/y", false, false},
        {"man", "usr/share/man/man1/ls.1.gz", false, true},
        {"man", "usr/share/manual/x", false, false},
        {"locales", "usr/share/locale/de/LC_MESSAGES/bash.mo", false, true},
        {"locales", "usr/share/locale/locale.alias", false, false},
        {"locales", "usr/lib/locale/C.utf8/LC_CTYPE", false, false},
        {"pyc", "usr/lib/python3/dist-packages/x/__pycache__/a.cpython-311.pyc", false, true},
        {"pyc", "app/alone.pyc", false, false},
        {"pyc", "app/__pycache__/data.txt", false, false},
        {"tests", "usr/lib/python3/dist-packages/numpy/core/tests/test_a.py", false, true},
        {"tests", "usr/lib/python3.11/test/support.py", false, true},
        {"tests", "opt/venv/lib/python3.11/site-packages/x/tests/data/a", false, true},
        {"tests", "usr/lib/python3/dist-packages/numpy/testing/utils.py", false, false},
        {"tests", "usr/lib/python3/dist-packages/jinja2/tests.py", false, false},
        {"tests", "app/tests/test_app.py", false, false},
        {"static", "usr/lib/x86_64-linux-gnu/libz.a", false, true},
        {"static", "usr/lib/x86_64-linux-gnu/libz.so.1", false, false},
        {"static", "usr/lib/libz.la", false, true},
        {"static", "srv/data.a", false, false},
        {"headers", "usr/include/zlib.h", false, true},
        {"headers", "usr/lib/python3/dist-packages/torch/include/torch.h", false, true},
        {"headers", "srv/include/page.html", false, false},
        {"no such category", "usr/include/zlib.h", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!CHECK(sb_prune_takes(cases[i].category, cases[i].path, cases[i].link) ==
                   cases[i].taken))
            printf("    %s: %s\n", cases[i].category, cases[i].path);
}

/* Every category that a recipe may name takes something. */
static void test_all_are_known(void) {
    static const char *const samples[] = {"usr/share/doc/a/b",
                                          "usr/share/man/man1/a",
                                          "usr/share/locale/de/a",
                                          "a/__pycache__/a.pyc",
                                          "usr/lib/python3/dist-packages/a/tests/b",
                                          "usr/lib/liba.a",
                                          "usr/include/a"};
    for (size_t i = 0; sb_prune_categories[i]; i++) {
        bool taken = false;
        for (size_t k = 0; k < sizeof samples / sizeof *samples; k++)
            taken |= sb_prune_takes(sb_prune_categories[i], samples[k], false);
        CHECK(taken);
    }
}

static char *directory;

static void put(const char *path) {
    sb_autofree char *whole = sb_path_join(directory, path);
    sb_autofree char *parent = sb_path_dirname(whole);
    CHECK(sb_directory_make(AT_FDCWD, parent, 0755, NULL) == 0);
    CHECK(sb_file_write(AT_FDCWD, whole, "x", 1, 0644, NULL) == 0);
}

static bool there(const char *path) {
    sb_autofree char *whole = sb_path_join(directory, path);
    return sb_path_exists(AT_FDCWD, whole);
}

static struct sb_pruned prune(const char *what, const char *more, const char *written) {
    sb_autostrings struct sb_strings list = {0};
    struct sb_pruned out = {0};
    struct sb_error err = {0};
    sb_strings_add(&list, what);
    sb_strings_add(&list, more);
    sb_autofree char *root_path = sb_path_join(directory, "root");
    sb_autofree char *written_path = sb_path_join(directory, written);
    sb_autoclose int root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclose int layer = open(written_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(sb_prune_tree(&list, root, layer, &out, &err), 0);
    CHECK_STR(err.message, "");
    return out;
}

static void test_removing(void) {
    put("root/usr/share/doc/old/README");
    put("root/usr/share/doc/new/README");
    put("root/usr/share/doc/new/copyright");
    put("root/usr/share/doc/gone/html/index");
    put("root/usr/share/man/man1/a.1");
    put("root/opt/data/a/b");
    put("root/opt/data.txt");
    put("outside/usr/share/doc/x");
    put("layer/usr/share/doc/new/README");
    put("layer/usr/share/doc/gone/html/index");
    sb_autofree char *link = sb_path_join(directory, "root/opt/out");
    CHECK(symlink("../../outside/usr", link) == 0);

    CHECK_INT(prune("docs", "man", "layer").files, 2);
    CHECK(there("root/usr/share/doc/old/README")); /* this layer did not write it */
    CHECK(there("root/usr/share/doc/new/copyright"));
    CHECK(!there("root/usr/share/doc/new/README"));
    CHECK(!there("root/usr/share/doc/gone")); /* empty now */
    CHECK(there("root/usr/share/man/man1/a.1"));

    CHECK_INT(prune("docs", "man", "root").files, 2);
    CHECK(!there("root/usr/share/doc/old"));
    CHECK(there("root/usr/share/man/man1")); /* later packages expect it */
    CHECK(!there("root/usr/share/man/man1/a.1"));

    CHECK_INT(prune("/opt/da*", "opt/**/out/**", "root").files, 2);
    CHECK(!there("root/opt/data"));
    CHECK(!there("root/opt/data.txt"));
    CHECK(there("root/opt/out"));
    CHECK(there("outside/usr/share/doc/x"));
}

/* As where the system is merged into /usr: what is named is what a program would find there. */
static void test_links(void) {
    put("root/usr/lib/a/x.a");
    put("root/usr/lib/a/x.so");
    put("root/usr/lib/[b]/y.a");
    put("root/usr/lib/b/y.a");
    put("outside/z.a");
    sb_autofree char *lib = sb_path_join(directory, "root/lib");
    sb_autofree char *twice = sb_path_join(directory, "root/usr/twice");
    sb_autofree char *out = sb_path_join(directory, "root/away");
    CHECK(symlink("usr/lib", lib) == 0 && symlink("/lib/[b]", twice) == 0);
    CHECK(symlink("../outside", out) == 0);
    CHECK_INT(prune("/lib/a/*.a", "/nothing/there", "root").files, 1);
    CHECK(!there("root/usr/lib/a/x.a") && there("root/usr/lib/a/x.so"));
    CHECK_INT(prune("/usr/twice/*.a", "/away/*.a", "root").files, 1);
    CHECK(!there("root/usr/lib/[b]") && there("root/usr/lib/b/y.a") && there("outside/z.a"));
    CHECK_INT(prune("/**/lib/a/*.so", "/lib", "root").files, 2);
    CHECK(!there("root/lib") && !there("root/usr/lib/a/x.so"));
    CHECK(there("root/usr/lib/b/y.a")); /* only the link was named */
}

int main(void) {
    char name[] = "/var/tmp/sb-prune-XXXXXX";
    CHECK(mkdtemp(name) != NULL);
    directory = name;
    test_categories();
    test_all_are_known();
    test_removing();
    test_links();
    CHECK_INT(sb_tree_remove(AT_FDCWD, name, NULL), 0);
    return test_done();
}
