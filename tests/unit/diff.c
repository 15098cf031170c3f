/* What two images differ in. */
#include "layers/diff.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/unit/makeimage.h"
#include "tests/unit/maketar.h"
#include "tests/unit/test.h"

static struct sb_store *store;
static struct sb_error err;

static int note(void *self, const struct sb_change *change, struct sb_error *unused) {
    struct sb_buf *out = self;
    (void)unused;
    sb_buf_addf(out, "%c %s", "+-~"[change->kind], change -> path);
#define X(bit, id, name)                                                                           \
    if (change->what & bit)                                                                        \
        sb_buf_adds(out, " " name);
    SB_CHANGE_WHATS(X)
#undef X
    sb_buf_addc(out, '\n');
    return 0;
}

static void check_diff(const struct sb_image *a, const struct sb_image *b, const char *expected) {
    sb_autobuf struct sb_buf found = {0};
    if (!CHECK_INT(sb_image_diff(store, a, b, note, &found, &err), 0))
        printf("    %s\n", err.message);
    CHECK_STR(sb_buf_text(&found), expected);
}

static struct sb_image image_of(const struct sb_buf *const *tars) {
    struct sb_image image;
    sb_image_init(&image, "amd64", NULL);
    for (; *tars; tars++)
        makeimage_layer(store, &image, *tars, image.layer_count & 1);
    return image;
}

static void make_base(struct sb_buf *tar) {
    maketar_dir(tar, "d", 0755);
    maketar_file(tar, "d/a", "one");
    maketar_file(tar, "d/b", "one");
    maketar_file(tar, "d/c", "one");
    maketar_pax(tar, "SCHILY.xattr.user.k", "1", 1);
    maketar_file(tar, "d/x", "one");
    maketar_dir(tar, "gone", 0755);
    maketar_file(tar, "gone/1", "");
    maketar_file(tar, "gone/2", "");
    maketar_symlink(tar, "l", "d/a");
    maketar_link(tar, "hard", "d/c");
    maketar_raw(tar, '3', "dev", "1,3", 0666, NULL, 0);
    maketar_file(tar, "to-dir", "");
    maketar_end(tar);
}

static void make_upper(struct sb_buf *tar) {
    maketar_dir(tar, "d", 0700);
    maketar_file(tar, "d/a", "two"); /* the same size */
    maketar_file(tar, "d/b", "one"); /* the same content */
    maketar_file(tar, "d/c", "longer");
    maketar_pax(tar, "SCHILY.xattr.user.k", "2", 1);
    maketar_file(tar, "d/x", "one");
    maketar_file(tar, ".wh.gone", "");
    maketar_symlink(tar, "l", "d/b");
    maketar_file(tar, "new/deep/file", "");
    maketar_raw(tar, '3', "dev", "1,5", 0666, NULL, 0);
    maketar_pax(tar, "uid", "5", 1);
    maketar_dir(tar, "to-dir", 0755);
    maketar_end(tar);
}

static const char *const forward = "~ d mode\n"
                                   "~ d/a content\n"
                                   "~ d/c size content\n"
                                   "~ d/x xattrs\n"
                                   "~ dev device\n"
                                   "- gone\n"
                                   "- gone/1\n"
                                   "- gone/2\n"
                                   "~ l link\n"
                                   "+ new\n+ new/deep\n+ new/deep/file\n"
                                   "~ to-dir type mode owner\n";
static const char *const backward = "~ d mode\n"
                                    "~ d/a content\n"
                                    "~ d/c size content\n"
                                    "~ d/x xattrs\n"
                                    "~ dev device\n"
                                    "+ gone\n"
                                    "+ gone/1\n"
                                    "+ gone/2\n"
                                    "~ l link\n"
                                    "- new\n- new/deep\n- new/deep/file\n"
                                    "~ to-dir type mode owner\n";

static void check_changes(void) {
    sb_autobuf struct sb_buf base = {0}, upper = {0}, other = {0};
    make_base(&base);
    make_upper(&upper);
    struct sb_image a = image_of((const struct sb_buf *[]){&base, NULL});
    struct sb_image b = image_of((const struct sb_buf *[]){&base, &upper, NULL});
    check_diff(&a, &b, forward);
    check_diff(&b, &a, backward);
    check_diff(&a, &a, "");
    check_diff(&b, &b, "");

    /* The same files in another layer are the same files. */
    maketar_file(&other, "extra", "");
    make_base(&other);
    struct sb_image c = image_of((const struct sb_buf *[]){&other, NULL});
    check_diff(&a, &c, "+ extra\n");
    struct sb_image d = image_of((const struct sb_buf *[]){&other, &upper, NULL});
    check_diff(&b, &d, "+ extra\n");
    sb_image_free(&a);
    sb_image_free(&b);
    sb_image_free(&c);
    sb_image_free(&d);
}

/* Shared layers are read only for files that are compared with one of the same size. */
static void check_reading(void) {
    sb_autobuf struct sb_buf base = {0}, upper = {0}, same = {0};
    make_base(&base);
    maketar_file(&upper, "d/a", "another size");
    maketar_dir(&upper, "d", 0711);
    maketar_end(&upper);
    maketar_file(&same, "d/a", "ONE");
    maketar_end(&same);
    struct sb_image a = image_of((const struct sb_buf *[]){&base, NULL});
    struct sb_image b = image_of((const struct sb_buf *[]){&base, &upper, NULL});
    struct sb_image c = image_of((const struct sb_buf *[]){&base, &same, NULL});
    check_diff(&a, &b, "~ d mode\n~ d/a size content\n");
    sb_autofree char *blob = sb_blob_path(&a.layers[0].layer.descriptor.digest);
    CHECK_INT(renameat(sb_store_fd(store), blob, sb_store_fd(store), "away"), 0);
    check_diff(&a, &b, "~ d mode\n~ d/a size content\n");
    sb_autobuf struct sb_buf found = {0};
    CHECK_INT(sb_image_diff(store, &a, &c, note, &found, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK_INT(renameat(sb_store_fd(store), "away", sb_store_fd(store), blob), 0);
    check_diff(&a, &c, "~ d/a content\n");
    sb_image_free(&a);
    sb_image_free(&b);
    sb_image_free(&c);
}

/* What a hard link leads to counts, not that it is one. */
static void check_links(void) {
    sb_autobuf struct sb_buf one = {0}, two = {0}, three = {0};
    maketar_file(&one, "a", "text");
    maketar_file(&one, "b", "text");
    maketar_file(&one, "c", "text");
    maketar_end(&one);
    maketar_file(&two, "a", "text");
    maketar_link(&two, "b", "a");
    maketar_link(&two, "c", "b");
    maketar_end(&two);
    maketar_file(&three, "a", "TEXT");
    maketar_link(&three, "b", "a");
    maketar_link(&three, "c", "b");
    maketar_end(&three);
    struct sb_image a = image_of((const struct sb_buf *[]){&one, NULL});
    struct sb_image b = image_of((const struct sb_buf *[]){&two, NULL});
    struct sb_image c = image_of((const struct sb_buf *[]){&three, NULL});
    check_diff(&a, &b, "");
    check_diff(&a, &c, "~ a content\n~ b content\n~ c content\n");
    check_diff(&c, &b, "~ a content\n~ b content\n~ c content\n");
    sb_image_free(&a);
    sb_image_free(&b);
    sb_image_free(&c);
}

static int stop(void *self, const struct sb_change *change, struct sb_error *error) {
    (void)self;
    return sb_fail(error, SB_E_FAILED, "enough at %s", change->path);
}

static void check_stop(void) {
    sb_autobuf struct sb_buf one = {0}, two = {0};
    make_base(&one);
    maketar_end(&two);
    struct sb_image a = image_of((const struct sb_buf *[]){&one, NULL});
    struct sb_image b = image_of((const struct sb_buf *[]){&two, NULL});
    CHECK_INT(sb_image_diff(store, &a, &b, stop, NULL, &err), -1);
    CHECK_STR(err.message, "enough at d");
    sb_image_free(&a);
    sb_image_free(&b);
}

int main(void) {
    char directory[] = "/var/tmp/sb-diff-XXXXXX";
    if (!mkdtemp(directory) || sb_store_open(directory, &store, &err) < 0) {
        printf("%s\n", err.message);
        return 1;
    }
    check_changes();
    check_reading();
    check_links();
    check_stop();
    sb_store_close(store);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
