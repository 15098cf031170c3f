/* deploy/bundle: made, read back, and tampered with. */
#include "deploy/bundle.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "tests/unit/test.h"

static struct sb_store *store;

struct file {
    const char *path, *text;
    mode_t mode;
};

static struct sb_layer pack(const struct file *files, size_t n) {
    const struct sb_pack_options options = {.threads = 1};
    struct sb_packer *packer;
    struct sb_layer layer = {0};
    struct sb_error err = {0};
    CHECK(sb_packer_start(store, &options, &packer, &err) == 0);
    for (size_t i = 0; i < n; i++) {
        bool link = S_ISLNK(files[i].mode);
        struct sb_entry entry = {.path = files[i].path, .mode = files[i].mode};
        entry.link = link ? files[i].text : NULL;
        entry.size = link ? 0 : strlen(files[i].text);
        CHECK(sb_packer_entry(packer, &entry, &err) == 0);
        if (entry.size)
            CHECK(sb_packer_data(packer, files[i].text, entry.size, &err) == 0);
    }
    CHECK(sb_packer_finish(packer, &layer, &err) == 0);
    return layer;
}

static void make_image(struct sb_image *image) {
    static const struct file lower = {"lower", "1", S_IFREG | 0644};
    static const struct file upper = {"upper", "2", S_IFREG | 0644};
    struct sb_error err = {0};
    sb_image_init(image, "amd64", NULL);
    json_object_set_new(image->config, "config", json_pack("{s:[s]}", "Cmd", "/lower"));
    struct sb_layer one = pack(&lower, 1), two = pack(&upper, 1);
    sb_image_add_layer(image, &one, "lower", NULL);
    sb_image_add_layer(image, &two, "upper", "copy");
    CHECK(sb_image_save(store, image, 1000, &err) == 0);
}

static void make(struct sb_image *image, struct sb_description *d, struct sb_image *bundle) {
    struct sb_error err = {0};
    make_image(image);
    CHECK(sb_description_make(image, NULL, 0, "web", "1.0.0", d, &err) == 0);
    CHECK(sb_bundle_make(store, image, d, bundle, &err) == 0);
}

static void test_round(void) {
    struct sb_image image, bundle, again, read;
    struct sb_description d, back;
    struct sb_error err = {0};
    make(&image, &d, &bundle);
    CHECK(sb_bundle_make(store, &image, &d, &again, &err) == 0);
    CHECK(sb_digest_equal(&bundle.descriptor.digest, &again.descriptor.digest));
    if (!CHECK(sb_bundle_load(store, &bundle.descriptor, &read, &back, &err) == 0)) {
        printf("    %s\n", err.message);
        return;
    }
    sb_autobuf struct sb_buf before = {0}, after = {0};
    sb_description_write(&d, &before);
    sb_description_write(&back, &after);
    CHECK_STR(sb_buf_text(&before), sb_buf_text(&after));
    CHECK_INT(read.layer_count, 3);
    CHECK_STR(read.artifact_type, SB_BUNDLE_ARTIFACT_TYPE);
    CHECK(sb_digest_equal(&read.subject.digest, &image.descriptor.digest));
    CHECK_STR(sb_json_string(read.annotations, SB_BUNDLE_IMAGE, ""),
              sb_digest_text(&image.descriptor.digest).text);
    CHECK_STR(sb_json_string(read.config, "created", ""), "1970-01-01T00:16:40Z");
    sb_image_free(&again);
    sb_description_free(&back);
    CHECK(sb_bundle_make(store, &bundle, &d, &again, &err) < 0);
    CHECK_STR(err.message, "the image is a bundle already");
    CHECK(sb_bundle_load(store, &image.descriptor, &again, &back, &err) < 0);
    CHECK(strstr(err.message, "is an image, and no bundle"));
    sb_description_free(&back);
    sb_description_free(&d);
    sb_image_free(&read);
    sb_image_free(&again);
    sb_image_free(&bundle);
    sb_image_free(&image);
}

/* Saves the bundle as it was changed, and expects it to be refused. */
static void refuse(struct sb_image *bundle, enum sb_error_code code, const char *message) {
    struct sb_image read;
    struct sb_description d;
    struct sb_error err = {0};
    CHECK(sb_image_save(store, bundle, 1000, &err) == 0);
    if (CHECK(sb_bundle_load(store, &bundle->descriptor, &read, &d, &err) < 0)) {
        CHECK_INT(err.code, code);
        if (!CHECK(strstr(err.message, message)))
            printf("    %s\n", err.message);
    }
    CHECK(!d.name && !read.config);
}

static void replace_last(struct sb_image *bundle, struct sb_layer layer) {
    bundle->layers[bundle->layer_count - 1].layer = layer;
    json_object_del(bundle->config, "history");
}

static void test_manifest(void) {
    struct sb_image image, bundle;
    struct sb_description d;
    make(&image, &d, &bundle);
    bundle.subject.digest.bytes[3] ^= 1;
    refuse(&bundle, SB_E_INTEGRITY, "another image than it belongs to");
    bundle.subject = (struct sb_descriptor){0};
    refuse(&bundle, SB_E_INTEGRITY, "another image than it belongs to");
    bundle.subject = image.descriptor;
    struct sb_layer saved = bundle.layers[0].layer;
    bundle.layers[0].layer = bundle.layers[1].layer;
    refuse(&bundle, SB_E_INTEGRITY, "other layers than it has");
    bundle.layers[0].layer = saved;
    bundle.layers[0].layer.diff_id.bytes[0] ^= 1;
    refuse(&bundle, SB_E_INTEGRITY, "other layers than it has");
    bundle.layers[0].layer = saved;
    free(bundle.artifact_type);
    bundle.artifact_type = sb_strdup("application/vnd.example");
    refuse(&bundle, SB_E_FAILED, "no bundle");
    sb_description_free(&d);
    sb_image_free(&bundle);
    sb_image_free(&image);
}

static void test_layer(void) {
    static const char path[] = SB_BUNDLE_DIRECTORY "/description.json";
    struct sb_image image, bundle;
    struct sb_description d;
    make(&image, &d, &bundle);
    sb_autobuf struct sb_buf text = {0}, hostile = {0};
    sb_description_write(&d, &text);
    sb_autojson json_t *json = sb_description_json(&d);
    json_object_set_new(json, "name", json_string("../../x"));
    sb_json_write_canonical(json, &hostile);
    sb_autofree char *large = sb_alloc(SB_DESCRIPTION_LIMIT + 2);
    memset(large, ' ', SB_DESCRIPTION_LIMIT + 1);
    const struct {
        struct file files[2];
        size_t n;
        const char *message;
    } cases[] = {
        {{{"x", "1", S_IFREG | 0644}}, 1, "has no usr/lib/sbuild/bundle/description.json"},
        {{{path, hostile.data, S_IFREG | 0644}}, 1, "name: \"../../x\" is not"},
        {{{path, "{}", S_IFREG | 0644}}, 1, "is missing"},
        {{{path, "", S_IFREG | 0644}}, 1, "has no usr"},
        {{{path, large, S_IFREG | 0644}}, 1, "is no file that a bundle has"},
        {{{path, "/etc/passwd", S_IFLNK | 0777}}, 1, "is no file that a bundle has"},
        {{{path, text.data, S_IFREG | 0644}, {path, text.data, S_IFREG | 0644}},
         2,
         "is no file that a bundle has"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        replace_last(&bundle, pack(cases[i].files, cases[i].n));
        refuse(&bundle, SB_E_INTEGRITY, cases[i].message);
    }
    struct file right = {path, text.data, S_IFREG | 0644};
    struct sb_layer wrong = pack(&right, 1);
    wrong.diff_id.bytes[0] ^= 1;
    replace_last(&bundle, wrong);
    refuse(&bundle, SB_E_INTEGRITY, "its content is not what the config says");
    sb_description_free(&d);
    sb_image_free(&bundle);
    sb_image_free(&image);
}

/* A byte of the last layer changes on the disk. */
static void test_blob(void) {
    struct sb_image image, bundle;
    struct sb_description d;
    make(&image, &d, &bundle);
    const struct sb_layer *last = &bundle.layers[bundle.layer_count - 1].layer;
    sb_autofree char *path = sb_blob_path(&last->descriptor.digest);
    CHECK(fchmodat(sb_store_fd(store), path, 0644, 0) == 0);
    sb_autoclose int fd = openat(sb_store_fd(store), path, O_RDWR);
    char byte;
    CHECK(pread(fd, &byte, 1, 100) == 1);
    byte ^= 1;
    CHECK(pwrite(fd, &byte, 1, 100) == 1);
    refuse(&bundle, SB_E_INTEGRITY, "");
    sb_description_free(&d);
    sb_image_free(&bundle);
    sb_image_free(&image);
}

static void test_tags(void) {
    sb_autofree char *tag = sb_bundle_tag("v1.2.3");
    CHECK_STR(tag, "bundle-v1.2.3");
    char large[200];
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    sb_autofree char *cut = sb_bundle_tag(large);
    CHECK_INT(strlen(cut), 128);
}

int main(void) {
    char directory[] = "/var/tmp/sb-unit-bundle.XXXXXX";
    struct sb_error err = {0};
    if (!mkdtemp(directory) || sb_store_open(directory, &store, &err) < 0) {
        printf("%s\n", err.message);
        return 1;
    }
    test_round();
    test_manifest();
    test_layer();
    test_blob();
    test_tags();
    sb_store_close(store);
    CHECK(sb_tree_remove(AT_FDCWD, directory, &err) == 0);
    return test_done();
}
