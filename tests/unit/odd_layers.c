/* Odd layers: what lists, exports and unpacks them says one and the same. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/contents.h"
#include "layers/export.h"
#include "layers/merge.h"
#include "layers/unpack.h"
#include "tests/unit/layer_test.h"
#include "tests/unit/makeimage.h"
#include "tests/unit/maketar.h"

static struct layer_test t;

static int list(const struct sb_image *image, struct sb_error *err) {
    struct sb_contents *contents = NULL;
    int rc = sb_layer_contents(t.store, &image->layers[0].layer, &contents, err);
    sb_contents_close(contents);
    return rc;
}

static int export(const struct sb_image *image, struct sb_error *err) {
    static const struct sb_strings none;
    sb_autoclose int fd = memfd_create("export", MFD_CLOEXEC);
    return sb_image_export(t.store, image, SB_EXPORT_ROOTFS, &none, fd, "the archive", err);
}

static int unpack(const struct sb_image *image, enum sb_unpack_form form, struct sb_error *err) {
    const struct sb_unpack_options options = {.form = form};
    sb_autofree char *path = sb_format("%s/tree", t.dir);
    CHECK_INT(sb_tree_remove(AT_FDCWD, path, NULL), 0);
    CHECK_INT(mkdir(path, 0755), 0);
    sb_autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return sb_unpack_layer(t.store, &image->layers[0].layer, dir, &options, err);
}

/* message: NULL when the layer is fine; else what all say. */
static void check(const char *name, const struct sb_buf *tar, const char *message) {
    static const char *const readers[] = {"ls", "export", "unpacking", "a step's tree"};
    struct sb_image image;
    sb_image_init(&image, "amd64", NULL);
    makeimage_layer(t.store, &image, tar, 0);
    makeimage_save(t.store, &image);
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        struct sb_error err = {0};
        int rc = i == 0   ? list(&image, &err)
                 : i == 1 ? export(&image, &err)
                 : i == 2 ? unpack(&image, SB_UNPACK_APPLY, &err)
                          : unpack(&image, SB_UNPACK_OVERLAY, &err);
        bool right = CHECK_INT(rc, message ? -1 : 0);
        if (message)
            right = CHECK_INT(err.code, SB_E_INTEGRITY) && right;
        if (message)
            right = CHECK(strstr(err.message, message) != NULL) && right;
        if (!right)
            printf("    %s: %s: %s\n", name, readers[i], err.message);
    }
    sb_image_free(&image);
}

/* ---- merging ---- */

static int add_path(void *self, const char *path, size_t layer, struct sb_error *err) {
    (void)layer;
    (void)err;
    sb_buf_addf(self, "%s ", path);
    return 0;
}

/* The directories that a layer only implies, whatever the order of its entries: those that lower
 * layers have, too, and that it hides and has anew. */
static void test_implied(void) {
    static const struct {
        const char *upper[3], *lower[3], *implied;
    } cases[] = {
        {{"d/.wh.b", NULL}, {".wh.d", "d/b/x", NULL}, "d "},
        {{"d/.wh.b", NULL}, {"d/b/x", ".wh.d", NULL}, "d "},
        {{NULL}, {".wh.d", "d/b/x", NULL}, "d d/b "},
        {{NULL}, {"d/b/x", ".wh.d", NULL}, "d d/b "},
        {{".wh.d", NULL}, {"d/b/x", NULL}, ""},
        {{".wh.d", "d/y", NULL}, {"d/b/x", NULL}, "d "},
        {{"d/y", NULL}, {".wh.d", "d/b/x", NULL}, "d d/b "},
        {{NULL}, {".wh.d", "d/", "d/x"}, ""},
        {{NULL}, {"d/x", "d/", ".wh.d"}, ""},
        {{"d/.wh.x", NULL}, {".wh.d", NULL}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autobuf struct sb_buf said = {0};
        struct sb_merge *merge = sb_merge_new();
        for (int lower = 0; lower < 2; lower++) {
            sb_merge_lower(merge);
            const char *const *names = lower ? cases[i].lower : cases[i].upper;
            for (size_t k = 0; k < 3 && names[k]; k++) {
                size_t n = strlen(names[k]);
                bool directory = names[k][n - 1] == '/';
                sb_autofree char *path = sb_strndup(names[k], n - directory);
                const struct sb_entry entry = {.path = path,
                                               .mode = directory ? S_IFDIR | 0755 : S_IFREG | 0644};
                sb_merge_visit(merge, &entry);
            }
        }
        CHECK_INT(sb_merge_implied(merge, add_path, &said, NULL), 0);
        if (!CHECK_STR(sb_buf_text(&said), cases[i].implied))
            printf("    case %zu\n", i);
        sb_merge_free(merge);
    }
}

/* ---- ends ---- */

/* A file of five bytes, and then so many bytes of the zeros that a tar ends in. */
static void test_ends(void) {
    static const struct {
        size_t zeros;
        const char *message;
    } cases[] = {
        {507 + 1024, NULL}, {507, NULL}, {507 + 512, NULL}, {507 + 1, NULL}, {507 + 511, NULL},
        {507 + 513, NULL},  {0, NULL},   {1, NULL},         {506, NULL},     {507 + 9000, NULL},
    };
    static const char zeros[16384];
    sb_autobuf struct sb_buf whole = {0};
    maketar_file(&whole, "file", "hello");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autobuf struct sb_buf tar = {0};
        sb_autofree char *name = sb_format("%zu zeros", cases[i].zeros);
        sb_buf_add(&tar, whole.data, 512 + 5);
        sb_buf_add(&tar, zeros, cases[i].zeros);
        check(name, &tar, cases[i].message);
    }
    /* What was written is there to its last byte, or it is damage. */
    static const size_t cuts[] = {512 + 4, 512 + 1, 512, 511, 300, 100};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        sb_autobuf struct sb_buf tar = {0};
        sb_autofree char *name = sb_format("%zu bytes", cuts[i]);
        sb_buf_add(&tar, whole.data, cuts[i]);
        check(name, &tar, "the tar archive is damaged");
    }
    /* Nothing at all is a layer, too. */
    static const size_t nothing[] = {0, 1, 511, 512, 1023, 1024, 10240};
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        sb_autobuf struct sb_buf tar = {0};
        sb_autofree char *name = sb_format("nothing but %zu zeros", nothing[i]);
        sb_buf_add(&tar, zeros, nothing[i]);
        check(name, &tar, NULL);
    }
}

/* ---- names ---- */

static void test_names(void) {
    static const struct {
        const char *entries[4]; /* "d/" a directory, "l>t" a symlink, "l@t" a hard link, "c0" a
                                   device 0/0, else files */
        const char *message;
    } cases[] = {
        {{".wh."}, ".wh. is not a whiteout of anything"},
        {{".wh.."}, ".wh.. is not a whiteout of anything"},
        {{"d/", "d/.wh."}, "d/.wh. is not a whiteout of anything"},
        {{"d/.wh..."}, "d/.wh... is not a whiteout of anything"},
        {{"d/.wh.gone"}, NULL},
        {{"d/.wh..wh..opq"}, NULL},
        {{".wh..wh.plnk/", ".wh..wh.plnk/7.1"}, NULL},
        {{".wh..wh.aufs"}, NULL},
        {{".wh.d/", ".wh.d/x"}, NULL},
        {{"p", "p/q"}, "p/q: p is not a directory"},
        {{"p", "p-x", "p.x", "p/q"}, "p/q: p is not a directory"},
        {{"p", "p/q/r"}, "p is not a directory"},
        {{"d/", "d/p", "d/p/q"}, "d/p is not a directory"},
        {{"p/q", "p"}, NULL},
        {{"p/", "p/q", "p"}, NULL},
        {{"p", "p/", "p/q"}, NULL},
        {{"p", "p-x/", "p-x/q"}, NULL},
        {{"p", "pp/", "pp/q"}, NULL},
        {{"d/", "l>d", "l/q"}, NULL},
        {{"c0"}, NULL},
        {{"d/", "d/c0", "d/x"}, NULL},
        {{"a", "a"}, NULL},
        {{"a", "b@a", "a/"}, NULL},
        {{"a", "b@a", "a/", "a/x"}, NULL},
        {{"d/a", "d"}, NULL},
        {{"d/a", "b@d/a", "d"}, NULL},
        {{"d/a", "d", "b@d/a"}, "the hard link b leads to d/a, which is no file of the same layer"},
        {{"d/", "b@d"}, "the hard link b leads to d, which is no file of the same layer"},
        {{"a", "a/", "b@a"}, "the hard link b leads to a, which is no file of the same layer"},
        {{".wh.a", "b@.wh.a"},
         "the hard link b leads to .wh.a, which is no file of the same layer"},
        {{"d/a", "d@d/a"}, "the hard link d leads to d/a, which is no file of the same layer"},
        {{"l>d", "l/a", "d@l/a"},
         "the hard link d leads to d/a, which is no file of the same layer"},
        {{"a", "a@a"}, NULL},
        {{"./a", "b//c"}, NULL},
        {{"/a"}, NULL},
        {{"a/../b"}, "leads out of it with \"..\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autobuf struct sb_buf tar = {0}, name = {0};
        for (size_t n = 0; n < 4 && cases[i].entries[n]; n++) {
            const char *entry = cases[i].entries[n], *arrow = strpbrk(entry, ">@");
            sb_autofree char *link = sb_strndup(entry, strcspn(entry, ">@"));
            size_t len = strlen(entry);
            sb_buf_addf(&name, "%s ", entry);
            if (arrow && *arrow == '@')
                maketar_link(&tar, link, arrow + 1);
            else if (arrow)
                maketar_symlink(&tar, link, arrow + 1);
            else if (entry[len - 1] == '/')
                maketar_dir(&tar, entry, 0755);
            else if (len >= 2 && !strcmp(entry + len - 2, "c0"))
                maketar_raw(&tar, '3', entry, "0,0", 0644, NULL, 0);
            else
                maketar_file(&tar, entry, "text");
        }
        maketar_end(&tar);
        check(name.data, &tar, cases[i].message);
    }
}

/* What a file replaced in its own layer is listed nowhere, nor is a device 0/0. */
static void test_listed(void) {
    sb_autobuf struct sb_buf tar = {0};
    maketar_dir(&tar, "p", 0755);
    maketar_file(&tar, "p/q", "gone");
    maketar_file(&tar, "p", "file");
    maketar_file(&tar, "p-x", "stays");
    maketar_raw(&tar, '3', "c", "0,0", 0644, NULL, 0);
    maketar_end(&tar);
    struct sb_image image;
    struct sb_error err = {0};
    struct sb_contents *contents = NULL;
    sb_image_init(&image, "amd64", NULL);
    makeimage_layer(t.store, &image, &tar, 1);
    if (CHECK_INT(sb_layer_contents(t.store, &image.layers[0].layer, &contents, &err), 0)) {
        CHECK_INT(sb_contents_count(contents), 2);
        sb_contents_close(contents);
    }
    sb_image_free(&image);
}

int main(void) {
    t = layer_test_start();
    test_implied();
    test_ends();
    test_names();
    test_listed();
    layer_test_end(&t);
    return test_done();
}
