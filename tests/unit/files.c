/*
 * The list of an image's files (cli/files), and how texts and modes are shown (cli/show).
 */
#include "cli/files.h"

#include <string.h>
#include <sys/stat.h>

#include "cli/show.h"
#include "tests/unit/layer_test.h"
#include "tests/unit/test.h"

struct member {
    const char *path;
    mode_t mode;
    uint64_t size;
};

static void add_layer(struct layer_test *t, struct sb_image *image, const struct member *members,
                      size_t count) {
    struct sb_error err = {0};
    struct sb_packer *packer;
    struct sb_layer layer;
    const struct sb_pack_options options = {.threads = 1};
    static const char zeros[4096];
    if (sb_packer_start(t->store, &options, &packer, &err) < 0)
        layer_test_die("packing", &err);
    for (size_t i = 0; i < count; i++) {
        const struct sb_entry e = {
            .path = members[i].path, .mode = members[i].mode, .size = members[i].size};
        if (sb_packer_entry(packer, &e, &err) < 0 ||
            (e.size && sb_packer_data(packer, zeros, e.size, &err) < 0))
            layer_test_die(e.path, &err);
    }
    if (sb_packer_finish(packer, &layer, &err) < 0)
        layer_test_die("packing", &err);
    sb_image_add_layer(image, &layer, NULL, NULL);
}

static const struct member lower[] = {
    {"a-b", S_IFREG | 0644, 7},     {"a.c", S_IFREG | 0644, 1},
    {"d", S_IFDIR | 0700, 0},       {"d/gone", S_IFREG | 0644, 1000},
    {"d/kept", S_IFREG | 0644, 20}, {"x/y/z/deep", S_IFREG | 0644, 300}};
static const struct member upper[] = {{"a", S_IFDIR | 0755, 0},      {"a/one", S_IFREG | 0644, 5},
                                      {"d/.wh.gone", S_IFREG, 0},    {"d/sub/new", S_IFREG, 4},
                                      {"x/y/other", S_IFREG, 2},     {"x/y-", S_IFREG, 1},
                                      {"a-b", S_IFREG | 0600, 4000}, {"zz/t", S_IFREG, 0}};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* path mode total layer: with a directory before all that is below it, and "a-b" after "a/one". */
static const char expected[] = "a 0755 5 1\n"
                               "a/one 0644 5 1\n"
                               "a-b 0600 4000 1\n"
                               "a.c 0644 1 0\n"
                               "d 0700 24 0\n"
                               "d/kept 0644 20 0\n"
                               "d/sub 0755 4 1\n"
                               "d/sub/new 0000 4 1\n"
                               "x 0755 303 0\n"
                               "x/y 0755 302 0\n"
                               "x/y/other 0000 2 1\n"
                               "x/y/z 0755 300 0\n"
                               "x/y/z/deep 0644 300 0\n"
                               "x/y- 0000 1 1\n"
                               "zz 0755 0 1\n"
                               "zz/t 0000 0 1\n";

static void print_files(const struct sb_files *files, struct sb_buf *out) {
    for (size_t i = 0; i < files->n; i++)
        sb_buf_addf(out, "%s %04o %llu %zu\n", files->v[i].entry.path,
                    (unsigned)files->v[i].entry.mode & 07777, (unsigned long long)files->v[i].total,
                    files->v[i].layer);
}

/* The layer of an implied directory is that of a file below it, no more. */
static void drop_implied_layers(struct sb_files *files) {
    for (size_t i = 0; i < files->n; i++)
        if (!strcmp(files->v[i].entry.path, "x") || !strcmp(files->v[i].entry.path, "x/y"))
            files->v[i].layer = 0;
}

static void test_files(struct layer_test *t) {
    struct sb_error err = {0};
    struct sb_image image;
    sb_image_init(&image, "amd64", NULL);
    add_layer(t, &image, lower, COUNT(lower));
    add_layer(t, &image, upper, COUNT(upper));
    sb_autofiles struct sb_files files = {0};
    sb_autobuf struct sb_buf text = {0};
    CHECK_INT(sb_files_open(t->store, &image, &files, &err), 0);
    drop_implied_layers(&files);
    print_files(&files, &text);
    CHECK_STR(text.data, expected);
    size_t x = sb_files_find(&files, "x");
    CHECK_STR(files.v[sb_files_find(&files, "x/y/z")].entry.path, "x/y/z");
    CHECK_INT(sb_files_find(&files, "d/gone"), files.n);
    CHECK_INT(sb_files_find(&files, ""), files.n);
    CHECK_STR(files.v[sb_files_after(&files, x)].entry.path, "zz");
    CHECK_STR(files.v[sb_files_after(&files, x + 1)].entry.path, "x/y-");
    CHECK_INT(sb_files_after(&files, files.n - 1), files.n);
    sb_image_free(&image);
}

static void test_empty(struct layer_test *t) {
    struct sb_error err = {0};
    struct sb_image image;
    sb_image_init(&image, "amd64", NULL);
    sb_autofiles struct sb_files files = {0};
    CHECK_INT(sb_files_open(t->store, &image, &files, &err), 0);
    CHECK_INT(files.n, 0);
    CHECK_INT(sb_files_find(&files, "a"), 0);
    sb_image_free(&image);
}

static void check_shown(const char *text, const char *as_text, const char *as_path) {
    sb_autofree char *one = sb_show_text(text), *two = sb_show_path(text);
    CHECK_STR(one, as_text);
    CHECK_STR(two, as_path);
}

static void test_show(void) {
    check_shown("", "", "");
    check_shown("Größe €𝄞", "Größe €𝄞", "Größe €𝄞");
    check_shown("a\nb\tc", "a\\nb\\tc", "a\\nb\\tc");
    check_shown("\033[31m\177", "\\x1b[31m\\x7f", "\\x1b[31m\\x7f");
    check_shown("back\\slash", "back\\slash", "back\\\\slash");
    check_shown("\377\303", "\\xff\\xc3", "\\xff\\xc3");
    check_shown("\303(\303\244", "\\xc3(ä", "\\xc3(ä");
    check_shown("\302\233", "\\xc2\\x9b", "\\xc2\\x9b"); /* U+009B begins commands like ESC [ */
    check_shown("\355\240\200", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80");
    CHECK_STR(sb_show_mode(S_IFDIR | 01777).text, "drwxrwxrwt");
    CHECK_STR(sb_show_mode(S_IFREG | 06755).text, "-rwsr-sr-x");
    CHECK_STR(sb_show_mode(S_IFREG | 07644).text, "-rwSr-Sr-T");
    CHECK_STR(sb_show_mode(S_IFLNK | 0777).text, "lrwxrwxrwx");
    CHECK_STR(sb_show_mode(S_IFBLK).text, "b---------");
    CHECK_STR(sb_show_time(0).text, "1970-01-01 00:00");
    CHECK_STR(sb_show_time(-1).text, "1969-12-31 23:59");
    CHECK_STR(sb_show_time(INT64_MAX).text, "-");
}

int main(void) {
    struct layer_test t = layer_test_start();
    test_files(&t);
    test_empty(&t);
    test_show();
    layer_test_end(&t);
    return test_done();
}
