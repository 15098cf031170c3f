/* Images brought in from other tools' files, honest and not. */
#include "layers/import.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "layers/export.h"
#include "layers/unpack.h"
#include "tests/unit/makeimage.h"
#include "tests/unit/maketar.h"
#include "tests/unit/test.h"

static char directory[] = "/var/tmp/sb-import-XXXXXX";
static int top;
static struct sb_store *store; /* has the image */
static struct sb_image image;
static struct sb_error err;

static char *in_directory(const char *name) {
    return sb_format("%s/%s", directory, name);
}

static struct sb_store *open_store(const char *name) {
    sb_autofree char *path = in_directory(name);
    struct sb_store *out = NULL;
    CHECK_INT(sb_tree_remove(top, name, &err), 0);
    if (!CHECK_INT(sb_store_open(path, &out, &err), 0))
        exit(1);
    return out;
}

static void make_image(void) {
    sb_autobuf struct sb_buf one = {0}, two = {0};
    maketar_dir(&one, "etc", 0755);
    maketar_file(&one, "etc/hostname", "one");
    maketar_end(&one);
    maketar_file(&two, "etc/hostname", "two");
    maketar_end(&two);
    sb_image_init(&image, sb_platform_architecture(), sb_platform_variant());
    makeimage_layer(store, &image, &one, 1);
    makeimage_layer(store, &image, &two, 0);
    makeimage_save(store, &image);
    sb_autostrings struct sb_strings tags = {0};
    sb_strings_add(&tags, "backend:v1");
    sb_strings_add(&tags, "backend:latest");
    CHECK_INT(sb_store_tag(store, &tags, &image.descriptor, &err), 0);
}

static void check_import(const char *source, bool same_manifest) {
    struct sb_store *other = open_store("other");
    struct sb_descriptor found = {0};
    struct sb_image loaded;
    sb_autofree char *full = sb_strdup(source);
    if (!CHECK_INT(sb_image_import(other, full, &found, &err), 0))
        printf("    %s (%s)\n", err.message, err.hint);
    else if (CHECK_INT(sb_image_load(other, &found, &loaded, &err), 0)) {
        if (same_manifest)
            CHECK(sb_digest_equal(&found.digest, &image.descriptor.digest));
        CHECK(sb_digest_equal(&loaded.config_descriptor.digest, &image.config_descriptor.digest));
        CHECK_INT(loaded.layer_count, image.layer_count);
        for (size_t i = 0; i < loaded.layer_count; i++) {
            const struct sb_layer *l = &loaded.layers[i].layer;
            struct sb_contents *contents;
            CHECK(sb_digest_equal(&l->diff_id, &image.layers[i].layer.diff_id));
            CHECK(sb_blob_has(other, &l->descriptor.digest, l->descriptor.size));
            if (CHECK_INT(sb_layer_contents(other, l, &contents, &err), 0))
                sb_contents_close(contents);
        }
        sb_image_free(&loaded);
    }
    sb_store_close(other);
}

static void check_refused(const char *source, enum sb_error_code code, const char *text) {
    struct sb_store *other = open_store("other");
    struct sb_descriptor found;
    if (!CHECK_INT(sb_image_import(other, source, &found, &err), -1) ||
        !CHECK_INT(err.code, code) || !CHECK(strstr(err.message, text) != NULL))
        printf("    %s\n", err.message);
    sb_store_close(other);
}

static void export_to(const char *name, enum sb_export_form form) {
    sb_autostrings struct sb_strings names = {0};
    sb_strings_add(&names, "backend:v1");
    int fd = openat(top, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK_INT(sb_image_export(store, &image, form, &names, fd, name, &err), 0);
    close(fd);
}

static void check_honest(void) {
    sb_autofree char *path = in_directory("store");
    sb_autofree char *by_tag = sb_format("oci:%s:v1", path);
    sb_autofree char *by_name = sb_format("oci:%s:backend:latest", path);
    sb_autofree char *whole = sb_format("oci:%s", path);
    check_import(by_tag, true);
    check_import(by_name, true);
    check_import(whole, true);
    sb_autofree char *bad_tag = sb_format("oci:%s:v2", path);
    check_refused(bad_tag, SB_E_NOT_FOUND, "v2");
    CHECK(strstr(err.hint, "backend:v1") != NULL);

    export_to("oci.tar", SB_EXPORT_OCI);
    export_to("docker.tar", SB_EXPORT_DOCKER);
    sb_autofree char *oci = sb_format("oci-archive:%s/oci.tar", directory);
    sb_autofree char *docker = sb_format("docker-archive:%s/docker.tar", directory);
    sb_autofree char *docker_tag = sb_format("docker-archive:%s/docker.tar:backend:v1", directory);
    sb_autofree char *docker_bad = sb_format("docker-archive:%s/docker.tar:v3", directory);
    check_import(oci, true);
    check_import(docker, false);
    check_import(docker_tag, false);
    check_refused(docker_bad, SB_E_NOT_FOUND, "v3");
    sb_autofree char *command = sb_format("cd %s && gzip -k oci.tar", directory);
    CHECK_INT(system(command), 0);
    sb_autofree char *gz = sb_format("oci-archive:%s/oci.tar.gz", directory);
    check_import(gz, true);
    check_refused("oci:/nonexistent", SB_E_NOT_FOUND, "/nonexistent");
    check_refused("docker://x", SB_E_USAGE, "docker://x");
}

/* ---- indexes ---- */

static struct sb_descriptor put_index(const char *manifests) {
    sb_autofree char *text = sb_format(
        "{\"schemaVersion\":2,\"mediaType\":\"" SB_MEDIA_INDEX "\",\"manifests\":[%s]}", manifests);
    struct sb_descriptor d = {.media_type = SB_MEDIA_INDEX, .size = strlen(text)};
    CHECK_INT(sb_blob_put(store, text, strlen(text), &d.digest, &err), 0);
    return d;
}

static char *descriptor_text(const struct sb_descriptor *d, const char *more) {
    return sb_format("{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%llu%s}", d->media_type,
                     sb_digest_text(&d->digest).text, (unsigned long long)d->size, more);
}

/* A layout beside the store, with the store's blobs and an index of its own. */
static void make_layout(const char *manifests) {
    sb_autofree char *command =
        sb_format("cd %s && rm -rf layout && mkdir layout && cp -r store/blobs store/oci-layout "
                  "layout",
                  directory);
    CHECK_INT(system(command), 0);
    sb_autofree char *text = sb_format("{\"schemaVersion\":2,\"manifests\":[%s]}", manifests);
    CHECK_INT(sb_file_write(top, "layout/index.json", text, strlen(text), 0644, &err), 0);
}

static void check_indexes(void) {
    sb_autofree char *source = sb_format("oci:%s/layout", directory);
    sb_autofree char *mine = sb_format(",\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"}",
                                       sb_platform_architecture());
    sb_autofree char *here = descriptor_text(&image.descriptor, mine);
    struct sb_descriptor missing = {
        .media_type = SB_MEDIA_MANIFEST, .size = 5, .digest = sb_digest_of("x", 1)};
    sb_autofree char *foreign =
        descriptor_text(&missing, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}");
    sb_autofree char *both = sb_format("%s,%s", foreign, here);
    struct sb_descriptor index = put_index(both);
    sb_autofree char *nested = descriptor_text(&index, "");
    make_layout(nested);
    check_import(source, true);
    make_layout(both); /* no names: by platform */
    check_import(source, true);
    make_layout(foreign);
    check_refused(source, SB_E_NOT_FOUND, "blob");
    make_layout("");
    check_refused(source, SB_E_NOT_FOUND, "no image");

    /* Indexes of indexes of indexes… */
    sb_autofree char *text = sb_strdup(nested);
    for (int i = 0; i < 5; i++) {
        struct sb_descriptor outer = put_index(text);
        free(text);
        text = descriptor_text(&outer, "");
    }
    make_layout(text);
    check_refused(source, SB_E_INTEGRITY, "indexes");
    make_layout("{\"mediaType\":\"x\"}");
    check_refused(source, SB_E_NOT_FOUND, "");
    CHECK_INT(sb_file_write(top, "layout/index.json", "[", 1, 0644, &err), 0);
    check_refused(source, SB_E_FAILED, "index.json");
}

/* ---- damage ---- */

static void check_damaged(void) {
    sb_autofree char *source = sb_format("oci:%s/layout", directory);
    sb_autofree char *text = descriptor_text(&image.descriptor, "");
    sb_autofree char *blob = sb_blob_path(&image.layers[1].layer.descriptor.digest);
    sb_autofree char *path = sb_format("layout/%s", blob);
    make_layout(text);
    int fd = openat(top, path, O_WRONLY | O_CLOEXEC);
    CHECK_INT(pwrite(fd, "X", 1, 0), 1);
    check_refused(source, SB_E_INTEGRITY, "digest");
    CHECK_INT(pwrite(fd, "X", 1, 100000), 1); /* longer */
    check_refused(source, SB_E_INTEGRITY, "bytes");
    close(fd);
    CHECK_INT(unlinkat(top, path, 0), 0);
    check_refused(source, SB_E_NOT_FOUND, "blobs/sha256");
    CHECK_INT(mkfifoat(top, path, 0600), 0);
    check_refused(source, SB_E_INTEGRITY, "is a FIFO");

    /* A manifest that says it is large. */
    struct sb_descriptor large = image.descriptor;
    large.size = 1ull << 40;
    sb_autofree char *large_text = descriptor_text(&large, "");
    make_layout(large_text);
    check_refused(source, SB_E_INTEGRITY, "allowed");
}

static void check_hostile_archives(void) {
    sb_autobuf struct sb_buf tar = {0};
    sb_autofree char *oci = sb_format("oci-archive:%s/bad.tar", directory);
    sb_autofree char *docker = sb_format("docker-archive:%s/bad.tar", directory);
    sb_autofree char *name =
        sb_format("blobs/sha256/%s", sb_digest_hex(&image.descriptor.digest).text);
    maketar_file(&tar, name, "something else");
    maketar_end(&tar);
    CHECK_INT(sb_file_write(top, "bad.tar", tar.data, tar.len, 0644, &err), 0);
    check_refused(oci, SB_E_INTEGRITY, "blobs/sha256");
    sb_autobuf struct sb_buf layer = {0};
    maketar_file(&layer, "f", "");
    maketar_end(&layer);
    sb_buf_reset(&tar);
    maketar_raw(&tar, '0', name, NULL, 0644, layer.data, layer.len);
    maketar_end(&tar);
    CHECK_INT(sb_file_write(top, "bad.tar", tar.data, tar.len, 0644, &err), 0);
    check_refused(docker, SB_E_INTEGRITY, "blobs/sha256");
    sb_buf_reset(&tar);
    maketar_symlink(&tar, "manifest.json", "a");
    maketar_symlink(&tar, "a", "manifest.json");
    maketar_end(&tar);
    CHECK_INT(sb_file_write(top, "bad.tar", tar.data, tar.len, 0644, &err), 0);
    check_refused(docker, SB_E_NOT_FOUND, "manifest.json");
    static const char *const manifests[] = {
        "[]",
        "{}",
        "[{\"Config\":\"../../etc/passwd\",\"Layers\":[]}]",
        "[{\"Config\":\"c.json\",\"Layers\":[\"l.tar\"]}]",
        "[{\"Config\":\"c.json\",\"Layers\":[7]}]",
        "[{\"Config\":\"c.json\",\"Layers\":[]}]",
    };
    for (size_t i = 0; i < sizeof manifests / sizeof *manifests; i++) {
        struct sb_descriptor found;
        sb_buf_reset(&tar);
        maketar_file(&tar, "manifest.json", manifests[i]);
        maketar_file(&tar, "c.json",
                     "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
                     "\"diff_ids\":[\"sha256:"
                     "0000000000000000000000000000000000000000000000000000000000000000\"]}}");
        maketar_file(&tar, "l.tar", "this is no tar");
        maketar_end(&tar);
        CHECK_INT(sb_file_write(top, "bad.tar", tar.data, tar.len, 0644, &err), 0);
        struct sb_store *other = open_store("other");
        CHECK_INT(sb_image_import(other, docker, &found, &err), -1);
        sb_store_close(other);
    }
}

/* As older docker versions write it: a directory a layer, the same layer twice as a symlink. */
static void check_old_docker(void) {
    sb_autobuf struct sb_buf tar = {0}, layer = {0}, config = {0};
    maketar_file(&layer, "file", "text");
    maketar_end(&layer);
    struct sb_digest diff_id = sb_digest_of(layer.data, layer.len);
    sb_buf_addf(&config,
                "{\"architecture\":\"%s\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
                "\"diff_ids\":[\"%s\",\"%s\"]}}",
                sb_platform_architecture(), sb_digest_text(&diff_id).text,
                sb_digest_text(&diff_id).text);
    maketar_dir(&tar, "one", 0755);
    maketar_raw(&tar, '0', "one/layer.tar", NULL, 0644, layer.data, layer.len);
    maketar_file(&tar, "one/VERSION", "1.0");
    maketar_symlink(&tar, "two/layer.tar", "../one/layer.tar");
    maketar_file(&tar, "c.json", config.data);
    maketar_file(&tar, "manifest.json",
                 "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:b\"],\"Layers\":[\"one/layer.tar\","
                 "\"two/layer.tar\"]}]");
    maketar_end(&tar);
    CHECK_INT(sb_file_write(top, "old.tar", tar.data, tar.len, 0644, &err), 0);
    sb_autofree char *source = sb_format("docker-archive:%s/old.tar", directory);
    struct sb_store *other = open_store("other");
    struct sb_descriptor found;
    struct sb_image loaded = {0};
    if (!CHECK_INT(sb_image_import(other, source, &found, &err), 0))
        printf("    %s\n", err.message);
    CHECK_INT(sb_image_load(other, &found, &loaded, &err), 0);
    CHECK_INT(loaded.layer_count, 2);
    CHECK_STR(loaded.layers[1].layer.descriptor.media_type, SB_MEDIA_LAYER_ZSTD);
    sb_image_free(&loaded);
    sb_store_close(other);
}

int main(void) {
    if (!mkdtemp(directory))
        return 1;
    top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    store = open_store("store");
    make_image();
    check_honest();
    check_indexes();
    check_damaged();
    check_hostile_archives();
    check_old_docker();
    sb_image_free(&image);
    sb_store_close(store);
    close(top);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
