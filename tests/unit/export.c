/* Exported images: the merged root file system, and archives for other tools. */
#include "layers/export.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "layers/unpack.h"
#include "tests/unit/makeimage.h"
#include "tests/unit/maketar.h"
#include "tests/unit/sametree.h"
#include "tests/unit/test.h"

static char directory[] = "/var/tmp/sb-export-XXXXXX";
static int top;
static struct sb_store *store;
static struct sb_error err;

static const struct sb_unpack_options apply = {.form = SB_UNPACK_APPLY};

static int new_directory(const char *name) {
    CHECK_INT(sb_tree_remove(top, name, &err), 0);
    CHECK_INT(mkdirat(top, name, 0755), 0);
    return openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int export(const struct sb_image *image, enum sb_export_form form, const char *name) {
    sb_autostrings struct sb_strings names = {0};
    if (name)
        sb_strings_add(&names, name);
    int fd = memfd_create("export", MFD_CLOEXEC);
    if (!CHECK_INT(sb_image_export(store, image, form, &names, fd, "the archive", &err), 0))
        printf("    %s\n", err.message);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* The exported root file system against the layers applied one after the other. */
static bool check_rootfs(const struct sb_image *image) {
    sb_autoclose int expected = new_directory("expected"), found = new_directory("found");
    for (size_t i = 0; i < image->layer_count; i++)
        if (!CHECK_INT(sb_unpack_layer(store, &image->layers[i].layer, expected, &apply, &err), 0))
            printf("    %s\n", err.message);
    sb_autoclose int fd = export(image, SB_EXPORT_ROOTFS, NULL);
    sb_autoclose int again = export(image, SB_EXPORT_ROOTFS, NULL);
    struct sb_digest a, b;
    CHECK_INT(sb_digest_of_fd(fd, &a, NULL, &err), 0);
    CHECK_INT(sb_digest_of_fd(again, &b, NULL, &err), 0);
    CHECK(sb_digest_equal(&a, &b));
    lseek(fd, 0, SEEK_SET);
    if (!CHECK_INT(sb_unpack_fd(fd, found, &apply, &err), 0))
        printf("    %s\n", err.message);
    return CHECK_INT(sametree_compare(expected, found, ""), 0);
}

static void check_merging(void) {
    sb_autobuf struct sb_buf one = {0}, two = {0}, three = {0};
    maketar_dir(&one, "a", 0755);
    maketar_file(&one, "a/gone", "1");
    maketar_file(&one, "a/kept", "1");
    maketar_file(&one, "a/replaced", "1");
    maketar_dir(&one, "d", 0700);
    maketar_file(&one, "d/x", "1");
    maketar_file(&one, "to-dir", "1");
    maketar_dir(&one, "to-file", 0755);
    maketar_file(&one, "to-file/x", "1");
    maketar_file(&one, "back", "1");
    maketar_pax(&one, "SCHILY.xattr.user.k", "v", 1);
    maketar_dir(&one, "x", 01777);
    maketar_raw(&one, '6', "x/fifo", NULL, 0600, NULL, 0);
    maketar_raw(&one, '3', "x/null", "1,3", 0666, NULL, 0);
    maketar_end(&one);
    maketar_dir(&two, "a", 0711);
    maketar_file(&two, "a/.wh.gone", "");
    maketar_file(&two, "a/replaced", "22");
    maketar_file(&two, "d/.wh..wh..opq", "");
    maketar_file(&two, "d/y", "2");
    maketar_dir(&two, "to-dir", 0755);
    maketar_file(&two, "to-dir/in", "2");
    maketar_file(&two, "to-file", "2");
    maketar_file(&two, ".wh.back", "");
    maketar_file(&two, "x/implicit", "the directory is below");
    maketar_end(&two);
    maketar_dir(&three, "back", 0755);
    maketar_symlink(&three, "back/l", "/a/kept");
    maketar_end(&three);
    struct sb_image image;
    sb_image_init(&image, "amd64", NULL);
    makeimage_layer(store, &image, &one, 0);
    makeimage_layer(store, &image, &two, 1);
    makeimage_layer(store, &image, &three, 0);
    check_rootfs(&image);
    sb_image_free(&image);
}

/* A layer that has something below a path makes a directory of it, as in an overlay mount. */
static void check_implied(void) {
    sb_autobuf struct sb_buf one = {0}, two = {0};
    maketar_file(&one, "f", "a file");
    maketar_file(&one, "g", "a file");
    maketar_end(&one);
    maketar_file(&two, "f/x", "");
    maketar_end(&two);
    struct sb_image image;
    sb_image_init(&image, "amd64", NULL);
    makeimage_layer(store, &image, &one, 0);
    makeimage_layer(store, &image, &two, 0);
    sb_autoclose int fd = export(&image, SB_EXPORT_ROOTFS, NULL);
    sb_autoclose int found = new_directory("found");
    CHECK_INT(sb_unpack_fd(fd, found, &apply, &err), 0);
    CHECK(sb_path_exists(found, "f/x"));
    CHECK(sb_path_exists(found, "g"));
    sb_image_free(&image);
}

static void check_hard_links(void) {
    sb_autobuf struct sb_buf one = {0}, two = {0}, none = {0};
    static const char *const sets[] = {"1", "2", "3", "4", "5"};
    for (size_t i = 0; i < 5; i++) {
        char a[8], b[8], c[8], d[8];
        snprintf(a, sizeof a, "%s/a", sets[i]);
        snprintf(b, sizeof b, "%s/b", sets[i]);
        snprintf(c, sizeof c, "%s/c", sets[i]);
        snprintf(d, sizeof d, "%s/d", sets[i]);
        maketar_dir(&one, sets[i], 0755);
        maketar_file(&one, a, sets[i]);
        maketar_link(&one, b, a);
        maketar_link(&one, c, b); /* a link to a link */
        maketar_link(&one, d, a);
    }
    maketar_symlink(&one, "s", "1/a");
    maketar_link(&one, "s2", "s");
    maketar_link(&one, "s3", "s");
    maketar_file(&one, "lower", "content");
    maketar_file(&one, "lower2", "more");
    maketar_link(&one, "lower3", "lower2");
    maketar_end(&one);
    maketar_file(&two, "2/.wh.a", "");
    maketar_file(&two, "3/a", "replaced");
    maketar_file(&two, "3/.wh.b", "");
    maketar_file(&two, "4/.wh.a", "");
    maketar_file(&two, "4/.wh.b", "");
    maketar_file(&two, "4/.wh.c", "");
    maketar_file(&two, "5/.wh..wh..opq", "");
    maketar_file(&two, ".wh.s", "");
    maketar_link(&two, "upper", "lower"); /* what is in the lower layer only */
    maketar_link(&two, "upper2", "lower2");
    maketar_link(&two, "upper3", "upper2");
    maketar_link(&two, "upper4", "lower3");
    maketar_file(&two, "lower2", "and it is replaced afterwards");
    maketar_end(&two);
    struct sb_image image;
    sb_image_init(&image, "amd64", NULL);
    makeimage_layer(store, &image, &one, 0);
    makeimage_layer(store, &image, &two, 0);
    check_rootfs(&image);
    maketar_file(&none, "f", "text"); /* others have what they lead to */
    maketar_link(&none, "k", "f");
    maketar_link(&none, "l", "nowhere");
    maketar_end(&none);
    makeimage_layer(store, &image, &none, 0);
    sb_autostrings struct sb_strings names = {0};
    sb_autoclose int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK_INT(sb_image_export(store, &image, SB_EXPORT_ROOTFS, &names, null, "it", &err), -1);
    CHECK(strstr(err.message, "nowhere") != NULL);
    sb_image_free(&image);
}

/* ---- random images: layers that a model makes, and that any tool could have made ---- */

static uint64_t state = 1;

static unsigned below(unsigned n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % n);
}

#define PATHS 39 /* a, b, c; a/a, …; a/a/a, … */

static const char *path_of(unsigned i) {
    static char paths[PATHS][8];
    static const char names[] = "abc";
    char *p = paths[i];
    if (i < 3)
        snprintf(p, 8, "%c", names[i]);
    else if (i < 12)
        snprintf(p, 8, "%c/%c", names[(i - 3) / 3], names[(i - 3) % 3]);
    else
        snprintf(p, 8, "%c/%c/%c", names[(i - 12) / 9], names[(i - 12) / 3 % 3],
                 names[(i - 12) % 3]);
    return p;
}

static bool is_below(const char *path, const char *above) {
    size_t n = strlen(above);
    return !strncmp(path, above, n) && path[n] == '/';
}

struct model {
    char type[PATHS];    /* 0, 'd', 'f', 'l' */
    bool touched[PATHS]; /* by this layer */
};

static bool can_touch(const struct model *m, unsigned at) {
    const char *path = path_of(at);
    if (m->touched[at])
        return false;
    for (unsigned i = 0; i < PATHS; i++) {
        if (is_below(path_of(i), path) && m->touched[i])
            return false;
        if (is_below(path, path_of(i)) && m->type[i] != 'd')
            return false;
    }
    return true;
}

static void replace(struct model *m, unsigned at, char type) {
    m->touched[at] = true;
    if (type != 'd' || m->type[at] != 'd')
        for (unsigned i = 0; i < PATHS; i++)
            if (is_below(path_of(i), path_of(at)))
                m->type[i] = 0;
    m->type[at] = type;
}

static void random_entry(struct model *m, struct sb_buf *tar) {
    unsigned at = below(PATHS), other = below(PATHS), kind = below(12);
    const char *path = path_of(at);
    if (!can_touch(m, at))
        return;
    sb_autofree char *parent = sb_path_dirname(path);
    const char *prefix = strcmp(parent, ".") != 0 ? parent : "", *slash = *prefix ? "/" : "";
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    sb_autofree char *whiteout = sb_format("%s%s.wh.%s", prefix, slash, name);
    sb_autofree char *opaque = sb_format("%s/.wh..wh..opq", path);
    char text[32];
    snprintf(text, sizeof text, "%u", below(1000000));
    if (kind < 5) {
        maketar_dir(tar, path, 0700 + below(64));
        replace(m, at, 'd');
    } else if (kind < 8) {
        maketar_file(tar, path, text);
        replace(m, at, 'f');
    } else if (kind == 8) {
        maketar_symlink(tar, path, text);
        replace(m, at, 'l');
    } else if (kind == 9 && m->type[at]) {
        maketar_file(tar, whiteout, "");
        replace(m, at, 0);
    } else if (kind == 10 && m->type[at] == 'd') {
        maketar_dir(tar, path, 0755);
        maketar_file(tar, opaque, "");
        replace(m, at, 'f'); /* nothing of it is left, */
        m->type[at] = 'd';   /* but itself */
    } else if (kind == 11 && (m->type[other] == 'f' || m->type[other] == 'l') && other != at &&
               !is_below(path_of(other), path)) {
        maketar_link(tar, path, path_of(other));
        replace(m, at, m->type[other]);
    }
}

static void check_random(void) {
    for (unsigned seed = 1; seed <= 150; seed++) {
        struct model m = {{0}, {0}};
        struct sb_image image;
        state = seed * 7919;
        sb_image_init(&image, "amd64", NULL);
        unsigned layers = 2 + below(4);
        for (unsigned i = 0; i < layers; i++) {
            sb_autobuf struct sb_buf tar = {0};
            memset(m.touched, 0, sizeof m.touched);
            for (unsigned n = below(40); n > 0; n--)
                random_entry(&m, &tar);
            maketar_end(&tar);
            makeimage_layer(store, &image, &tar, (int)below(2));
        }
        if (!check_rootfs(&image))
            printf("    with the seed %u\n", seed);
        sb_image_free(&image);
    }
}

/* ---- the same without a model: whatever a tar can say ---- */

/* "d/" a directory, "f=text" a file, "p|" a FIFO, "l@target" a hard link, "l>target" a symlink. */
static void odd_entry(struct sb_buf *tar, const char *entry) {
    size_t n = strcspn(entry, "=@|>");
    sb_autofree char *path = sb_strndup(entry, n);
    const char *rest = entry[n] ? entry + n + 1 : "";
    if (entry[n] == '@')
        maketar_link(tar, path, rest);
    else if (entry[n] == '>')
        maketar_symlink(tar, path, rest);
    else if (entry[n] == '|')
        maketar_raw(tar, '6', path, NULL, 0600, NULL, 0);
    else if (entry[n] == '=' || strstr(path, ".wh."))
        maketar_file(tar, path, rest);
    else
        maketar_dir(tar, path, 0700);
}

static void random_odd(struct sb_buf *out) {
    const char *path = path_of(below(PATHS)), *other = path_of(below(12));
    unsigned kind = below(10);
    sb_autofree char *parent = sb_path_dirname(path);
    bool inside = strcmp(parent, ".") != 0;
    const char *name = inside ? path + strlen(parent) + 1 : path;
    if (kind < 2)
        sb_buf_addf(out, "%s/", path);
    else if (kind < 5)
        sb_buf_addf(out, "%s=%u", path, below(100000));
    else if (kind < 7)
        sb_buf_addf(out, "%s@%s", path, other);
    else if (kind == 7)
        sb_buf_addf(out, below(2) ? "%s|" : "%s>%s", path, other);
    else if (kind == 8)
        sb_buf_addf(out, "%s%s.wh.%s", inside ? parent : "", inside ? "/" : "", name);
    else
        sb_buf_addf(out, "%s/.wh..wh..opq", path);
}

/* What the table of a layer says of files is what its tree has. */
static bool check_listed(const struct sb_contents *contents, int dir) {
    bool same = true;
    for (size_t i = 0; i < sb_contents_count(contents); i++) {
        struct sb_entry entry, there;
        struct stat st;
        sb_contents_get(contents, i, &entry);
        if (strstr(entry.path, ".wh."))
            continue;
        there = entry;
        if (entry.hard_link && !CHECK(sb_contents_find(contents, entry.link, &there)))
            return false;
        same = CHECK(!there.hard_link) && same;
        same = CHECK_INT(fstatat(dir, entry.path, &st, AT_SYMLINK_NOFOLLOW), 0) && same;
        same = CHECK_INT(st.st_mode & S_IFMT, there.mode & S_IFMT) && same;
        same = (!S_ISREG(st.st_mode) || CHECK_INT(st.st_size, there.size)) && same;
    }
    return same;
}

/* A layer that each reader takes by itself, or NULL: hard links to what is not there are left out.
 */
static char *random_odd_layer(struct sb_buf *tar) {
    struct sb_buf text = {0};
    for (unsigned n = 1 + below(7); n > 0; n--) {
        struct sb_buf entry = {0}, more = {0};
        random_odd(&entry);
        sb_buf_add(&more, sb_buf_text(tar), tar->len);
        odd_entry(&more, entry.data);
        size_t len = more.len;
        maketar_end(&more);
        struct sb_image image;
        sb_image_init(&image, "amd64", NULL);
        makeimage_layer(store, &image, &more, 0);
        sb_autoclose int dir = new_directory("one");
        static const struct sb_unpack_options overlay = {.form = SB_UNPACK_OVERLAY};
        struct sb_contents *contents = NULL;
        int unpacked = sb_unpack_layer(store, &image.layers[0].layer, dir, &overlay, &err);
        int listed = sb_layer_contents(store, &image.layers[0].layer, &contents, &err);
        if (unpacked == 0 && listed == 0 && !check_listed(contents, dir))
            printf("    %s, then %s\n", sb_buf_text(&text), entry.data);
        sb_contents_close(contents);
        CHECK(unpacked == 0 || listed < 0 || strstr(err.message, "no file of the same layer"));
        if (!CHECK(unpacked < 0 || listed == 0))
            printf("    %s: %s, then %s\n", err.message, sb_buf_text(&text), entry.data);
        sb_image_free(&image);
        if (unpacked == 0 && listed == 0) {
            sb_buf_reset(tar);
            sb_buf_add(tar, more.data, len);
            sb_buf_addf(&text, "%s ", entry.data);
        }
        sb_buf_free(&entry);
        sb_buf_free(&more);
    }
    return sb_buf_steal(&text);
}

static void check_random_odd(void) {
    for (unsigned seed = 1; seed <= 150; seed++) {
        struct sb_image image;
        sb_autobuf struct sb_buf text = {0};
        state = seed * 7919;
        sb_image_init(&image, "amd64", NULL);
        for (unsigned i = 1 + below(3); i > 0; i--) {
            sb_autobuf struct sb_buf tar = {0};
            sb_autofree char *layer = random_odd_layer(&tar);
            sb_buf_addf(&text, "    %s\n", layer ? layer : "");
            maketar_end(&tar);
            makeimage_layer(store, &image, &tar, 0);
        }
        if (!check_rootfs(&image))
            printf("    with the seed %u:\n%s", seed, text.data);
        sb_image_free(&image);
    }
}

/* What a hard link leads to is replaced afterwards, in the same layer: it keeps what it had. */
static void check_replaced_targets(void) {
    static const char *const cases[][3] = {
        {"a=one b@a a/"},
        {"a=one b@a a/ a/x=in"},
        {"a=one b@a c@b a|"},
        {"a=one b@a a=other"},
        {"a=one a=other b@a"},
        {"a=one b@a a=three c@a"},
        {"a/f=one b@a/f a|"},
        {"a/f=one b@a/f a=x a/ a/f=new c@a/f"},
        {"a=one b@a a=two b=three c@b b@a"},
        {"a=one b@a a@b"},
        {"a=one b@a a=new a@b"},
        {"a>t b@a a=file"},
        {"a| b@a c@b a/"},
        {"a=one b@a a/", ".wh.b"},
        {"a=one b@a c@a a=new", ".wh.b"},
        {"a=one b@a c@a a=new", ".wh.a .wh.b"},
        {"a=one a=two b@a", ".wh.a"},
        {"a=one b@a a=two", ".wh.a"},
        {"a=one b@a c@b", "a/", "b="},
        {"x=", "a=one b@a a/", "c=two d@c c|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_image image;
        sb_image_init(&image, "amd64", NULL);
        for (size_t n = 0; n < 3 && cases[i][n]; n++) {
            sb_autobuf struct sb_buf tar = {0};
            sb_autofree char *text = sb_strdup(cases[i][n]);
            char *rest = NULL;
            for (char *one = strtok_r(text, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
                odd_entry(&tar, one);
            maketar_end(&tar);
            makeimage_layer(store, &image, &tar, 0);
        }
        if (!check_rootfs(&image))
            printf("    %s\n", cases[i][0]);
        for (size_t n = 0; n < image.layer_count; n++) {
            struct sb_contents *contents = NULL;
            sb_autoclose int dir = new_directory("one");
            static const struct sb_unpack_options overlay = {.form = SB_UNPACK_OVERLAY};
            CHECK_INT(sb_unpack_layer(store, &image.layers[n].layer, dir, &overlay, &err), 0);
            if (CHECK_INT(sb_layer_contents(store, &image.layers[n].layer, &contents, &err), 0) &&
                !check_listed(contents, dir))
                printf("    %s\n", cases[i][n]);
            sb_contents_close(contents);
        }
        sb_image_free(&image);
    }
}

/* ---- archives ---- */

static void check_archives(void) {
    sb_autobuf struct sb_buf tar = {0}, empty = {0};
    maketar_file(&tar, "hello", "world");
    maketar_end(&tar);
    maketar_end(&empty);
    struct sb_image image, loaded;
    sb_image_init(&image, "amd64", NULL);
    makeimage_layer(store, &image, &tar, 1);
    makeimage_layer(store, &image, &empty, 0);
    makeimage_layer(store, &image, &empty, 0);
    makeimage_save(store, &image);
    CHECK_INT(sb_image_load(store, &image.descriptor, &loaded, &err), 0);

    sb_autoclose int oci = export(&loaded, SB_EXPORT_OCI, "backend:v1");
    sb_autoclose int dir = new_directory("found");
    CHECK_INT(sb_unpack_fd(oci, dir, &apply, &err), 0);
    sb_autobuf struct sb_buf text = {0};
    CHECK_INT(sb_file_read(dir, "index.json", 65536, &text, &err), 0);
    sb_autojson json_t *index = sb_json_parse(text.data, text.len, &err);
    json_t *entry = json_array_get(json_object_get(index, "manifests"), 0);
    CHECK_STR(sb_json_string(entry, "digest", ""), sb_digest_text(&image.descriptor.digest).text);
    CHECK_STR(sb_json_string(json_object_get(entry, "annotations"), SB_ANNOTATION_REF_NAME, ""),
              "backend:v1");
    sb_autofree char *layer = sb_blob_path(&loaded.layers[0].layer.descriptor.digest);
    CHECK(sb_path_exists(dir, layer));
    CHECK(sb_path_exists(dir, "oci-layout"));

    sb_autoclose int docker = export(&loaded, SB_EXPORT_DOCKER, "backend:v1");
    sb_autoclose int again = new_directory("expected");
    CHECK_INT(sb_unpack_fd(docker, again, &apply, &err), 0);
    sb_buf_reset(&text);
    CHECK_INT(sb_file_read(again, "manifest.json", 65536, &text, &err), 0);
    sb_autojson json_t *manifest = sb_json_parse(text.data, text.len, &err);
    const json_t *item = json_array_get(manifest, 0);
    const char *first = json_string_value(json_array_get(json_object_get(item, "Layers"), 0));
    CHECK_INT(json_array_size(json_object_get(item, "Layers")), 3);
    CHECK_STR(json_string_value(json_array_get(json_object_get(item, "RepoTags"), 0)),
              "backend:v1");
    sb_autobuf struct sb_buf content = {0};
    CHECK_INT(sb_file_read(again, first ? first : "", 1u << 20, &content, &err), 0);
    CHECK(content.len == tar.len && !memcmp(content.data, tar.data, tar.len));

    /* A damaged layer is noticed, whatever the form. */
    sb_autoclose int fd = openat(sb_store_fd(store), layer, O_WRONLY | O_CLOEXEC);
    sb_autoclose int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK_INT(pwrite(fd, "\xff", 1, 40), 1);
    sb_autostrings struct sb_strings names = {0};
    for (int form = SB_EXPORT_OCI; form <= SB_EXPORT_ROOTFS; form++) {
        CHECK_INT(
            sb_image_export(store, &loaded, (enum sb_export_form)form, &names, null, "it", &err),
            -1);
        CHECK_INT(err.code, SB_E_INTEGRITY);
    }
    sb_image_free(&image);
    sb_image_free(&loaded);
}

int main(void) {
    if (geteuid() != 0) {
        TEST_SKIP("needs root");
        return test_done();
    }
    if (!mkdtemp(directory))
        return 1;
    top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autofree char *path = sb_format("%s/store", directory);
    if (sb_store_open(path, &store, &err) < 0) {
        printf("%s\n", err.message);
        return 1;
    }
    check_merging();
    check_implied();
    check_hard_links();
    check_random();
    check_replaced_targets();
    check_random_odd();
    check_archives();
    sb_store_close(store);
    close(top);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
