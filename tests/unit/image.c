/* Image config and manifest: reading what other tools wrote, refusing what is wrong, writing. */
#include "layers/image.h"
#include "layers/descriptor.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "tests/unit/test.h"

#define DOCKER_ZSTD "application/vnd.docker.image.rootfs.diff.tar.zstd"

static struct sb_store *store;

static struct sb_descriptor put(const char *media_type, const char *text) {
    struct sb_descriptor d = {.media_type = media_type, .size = strlen(text)};
    struct sb_error err = {0};
    CHECK_INT(sb_blob_put(store, text, d.size, &d.digest, &err), 0);
    return d;
}

static char *descriptor_text(const struct sb_descriptor *d, const char *more) {
    return sb_format("{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%llu%s}", d->media_type,
                     sb_digest_text(&d->digest).text, (unsigned long long)d->size, more);
}

/* An image of a config and the text of its layers. */
static struct sb_descriptor put_image(const char *config, const char *layers) {
    struct sb_descriptor c = put(SB_MEDIA_CONFIG, config);
    sb_autofree char *c_text = descriptor_text(&c, "");
    sb_autofree char *manifest = sb_format("{\"schemaVersion\":2,\"mediaType\":\"" SB_MEDIA_MANIFEST
                                           "\",\"config\":%s,\"layers\":[%s]}",
                                           c_text, layers);
    return put(SB_MEDIA_MANIFEST, manifest);
}

static char *read_blob(const struct sb_descriptor *d) {
    struct sb_buf text = {0};
    struct sb_error err = {0};
    CHECK_INT(sb_blob_read(store, d, 1 << 20, &text, &err), 0);
    return sb_buf_steal(&text);
}

/* ---- writing ---- */

static const char *const expected_config =
    "{\"created\":\"2023-11-14T22:13:20Z\",\"architecture\":\"arm64\",\"variant\":\"v8\",\"os\":"
    "\"linux\",\"config\":{\"User\":\"1000\",\"Env\":[\"B=2\",\"A=1\"],\"Labels\":{\"a\":\"1\","
    "\"b\":\"2\"},\"x-unknown\":[1,{\"y\":null}]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":["
    "\"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\",\"sha256:"
    "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9\"]},\"history\":[{"
    "\"created\":\"2023-11-14T22:13:20Z\",\"created_by\":\"copy 100%\"},{\"created\":\"2023-11-"
    "14T22:13:20Z\"}],\"z-unknown\":1}";

static void add(struct sb_image *image, const char *content, const char *media_type,
                const char *name, const char *created_by) {
    struct sb_layer layer = {.diff_id = sb_digest_of(content, 3),
                             .descriptor = {.media_type = media_type, .size = 3}};
    layer.descriptor.digest = layer.diff_id;
    sb_image_add_layer(image, &layer, name, created_by);
}

static void test_save(void) {
    struct sb_error err = {0};
    struct sb_image image;
    sb_image_init(&image, "arm64", "v8");
    json_t *config = json_object_get(image.config, "config");
    json_object_set_new(config, "x-unknown", json_pack("[i, {s:n}]", 1, "y"));
    json_object_set_new(config, "Labels", json_pack("{s:s, s:s}", "b", "2", "a", "1"));
    json_object_set_new(config, "Env", json_pack("[s, s]", "B=2", "A=1"));
    json_object_set_new(config, "User", json_string("1000"));
    json_object_set_new(image.config, "z-unknown", json_integer(1));
    image.annotations = json_pack("{s:s, s:s}", "z", "1", "a", "2");
    add(&image, "foo", SB_MEDIA_LAYER_ZSTD, "app", "copy 100%");
    add(&image, "bar", SB_MEDIA_DOCKER_LAYER, NULL, NULL);

    struct sb_image copy;
    sb_image_copy(&copy, &image);
    CHECK_INT(sb_image_save(store, &image, 1700000000, &err), 0);
    CHECK_INT(sb_image_save(store, &copy, 1700000000, &err), 0);
    CHECK(sb_digest_equal(&image.descriptor.digest, &copy.descriptor.digest));
    sb_image_free(&copy);

    sb_autofree char *text = read_blob(&image.config_descriptor);
    CHECK_STR(text, expected_config);
    sb_autofree char *c_text = descriptor_text(&image.config_descriptor, "");
    sb_autofree char *expected = sb_format(
        "{\"schemaVersion\":2,\"mediaType\":\"" SB_MEDIA_MANIFEST "\",\"config\":%s,\"layers\":[{"
        "\"mediaType\":\"" SB_MEDIA_LAYER_ZSTD "\",\"digest\":\"sha256:"
        "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\",\"size\":3,"
        "\"annotations\":{\"dev.sbuild.layer.name\":\"app\"}},{\"mediaType\":\"" SB_MEDIA_LAYER_GZIP
        "\",\"digest\":\"sha256:fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9\","
        "\"size\":3}],\"annotations\":{\"a\":\"2\",\"z\":\"1\"}}",
        c_text);
    sb_autofree char *manifest = read_blob(&image.descriptor);
    CHECK_STR(manifest, expected);
    CHECK_STR(image.descriptor.media_type, SB_MEDIA_MANIFEST);

    /* Saved again, or loaded and saved again, it is the same. */
    struct sb_digest digest = image.descriptor.digest;
    CHECK_INT(sb_image_save(store, &image, 1700000000, &err), 0);
    CHECK(sb_digest_equal(&image.descriptor.digest, &digest));
    struct sb_image loaded;
    CHECK_INT(sb_image_load(store, &image.descriptor, &loaded, &err), 0);
    CHECK_INT(loaded.layer_count, 2);
    CHECK_STR(loaded.layers[0].name, "app");
    CHECK_STR(loaded.layers[0].created_by, "copy 100%");
    CHECK(loaded.layers[0].annotations == NULL);
    CHECK(loaded.layers[1].name == NULL);
    CHECK_STR(loaded.layers[1].layer.descriptor.media_type, SB_MEDIA_LAYER_GZIP);
    CHECK_STR(sb_json_string(loaded.annotations, "z", NULL), "1");
    sb_image_free(&image);
    CHECK_INT(sb_image_save(store, &loaded, 1700000000, &err), 0);
    CHECK(sb_digest_equal(&loaded.descriptor.digest, &digest));
    CHECK_INT(sb_image_save(store, &loaded, 253402300800, &err), -1); /* the year 10000 */
    sb_image_free(&loaded);
}

/* ---- a base made by other tools ---- */

#define DIFF_1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define DIFF_2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define LAYER_1                                                                                    \
    "{\"mediaType\":\"" SB_MEDIA_DOCKER_LAYER "\",\"digest\":\"" DIFF_2                            \
    "\",\"size\":10,\"annotations\":{\"k\":\"v\",\"dev.sbuild.layer.name\":\"n\"}}"
#define LAYER_2     "{\"mediaType\":\"" DOCKER_ZSTD "\",\"digest\":\"" DIFF_1 "\",\"size\":0}"
#define ROOTFS(ids) "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" ids "]}"
#define HISTORY                                                                                    \
    "[{\"created\":\"2020-01-01T00:00:00Z\",\"created_by\":\"one\"},{\"created_by\":\"ENV\","      \
    "\"empty_layer\":true},{\"created_by\":\"two\",\"comment\":\"c\"}]"

static void test_base(void) {
    struct sb_error err = {0};
    struct sb_descriptor d = put_image(
        "{\"os\":\"linux\",\"architecture\":\"amd64\",\"container\":\"abc\",\"config\":{\"Cmd\":["
        "\"sh\"],\"Entrypoint\":null},\"history\":" HISTORY
        "," ROOTFS("\"" DIFF_1 "\",\"" DIFF_2 "\"") "}",
        LAYER_1 "," LAYER_2);
    struct sb_image image;
    if (!CHECK(sb_image_load(store, &d, &image, &err) == 0)) {
        printf("%s\n", err.message);
        return;
    }
    CHECK_INT(image.layer_count, 2);
    CHECK_STR(image.layers[0].created_by, "one");
    CHECK_STR(image.layers[1].created_by, "two");
    CHECK_STR(image.layers[0].name, "n");
    CHECK_STR(sb_digest_text(&image.layers[0].layer.diff_id).text, DIFF_1);
    CHECK_STR(sb_digest_text(&image.layers[0].layer.descriptor.digest).text, DIFF_2);
    CHECK_STR(sb_json_string(image.layers[0].annotations, "k", ""), "v");
    CHECK_STR(image.layers[1].layer.descriptor.media_type, DOCKER_ZSTD);
    CHECK(json_object_get(json_object_get(image.config, "config"), "Entrypoint") == NULL);
    add(&image, "foo", SB_MEDIA_LAYER_ZSTD, "app", "three");
    CHECK_INT(sb_image_save(store, &image, 0, &err), 0);
    sb_autofree char *config = read_blob(&image.config_descriptor);
    CHECK(strstr(config, "\"history\":[{\"created\":\"2020-01-01T00:00:00Z\",\"created_by\":"
                         "\"one\"},{\"created_by\":\"ENV\",\"empty_layer\":true},{\"created_by\":"
                         "\"two\",\"comment\":\"c\"},{\"created\":\"1970-01-01T00:00:00Z\","
                         "\"created_by\":\"three\"}]") != NULL);
    CHECK(strstr(config, "\"container\":\"abc\"") != NULL);
    sb_autofree char *manifest = read_blob(&image.descriptor);
    CHECK(strstr(manifest, "docker") == NULL);
    CHECK(strstr(manifest, "\"annotations\":{\"dev.sbuild.layer.name\":\"n\",\"k\":\"v\"}") !=
          NULL);
    sb_image_free(&image);

    /* A history of fewer layers than there are is dropped. */
    d = put_image("{\"os\":\"linux\",\"architecture\":\"amd64\",\"history\":" HISTORY
                  "," ROOTFS("\"" DIFF_1 "\"") "}",
                  LAYER_1);
    CHECK_INT(sb_image_load(store, &d, &image, &err), 0);
    CHECK(image.layers[0].created_by == NULL);
    CHECK(json_object_get(image.config, "history") == NULL);
    sb_image_free(&image);
}

/* ---- what is odd, and allowed ---- */

/* Of a platform: what isn't said is Linux, and of this machine once something is built on it. */
static void test_odd_platform(void) {
    static const char *const starts[] = {
        "",
        "\"os\":\"\",\"architecture\":\"\",",
        "\"os\":\"linux\",",
        "\"os\":\"linux\",\"architecture\":\"\",",
        "\"os\":null,\"architecture\":null,",
        "\"created\":\"0001-01-01T00:00:00Z\",\"os\":\"\",\"history\":[],",
        "\"os\":\"Linux\",",
    };
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        sb_autofree char *text = sb_format("{%s%s}", starts[i], ROOTFS("\"" DIFF_1 "\""));
        struct sb_descriptor d = put_image(text, LAYER_1);
        struct sb_image image;
        struct sb_error err = {0};
        if (!CHECK_INT(sb_image_load(store, &d, &image, &err), 0)) {
            printf("    %s: %s\n", starts[i], err.message);
            continue;
        }
        CHECK_STR(sb_json_string(image.config, "architecture", ""), "");
        CHECK_INT(sb_image_save(store, &image, 0, &err), 0);
        CHECK_STR(sb_json_string(image.config, "architecture", ""), sb_platform_architecture());
        CHECK(strcasecmp(sb_json_string(image.config, "os", ""), "linux") == 0);
        sb_image_free(&image);
    }
}

/* Where else a layer is stays with it. */
static void test_urls(void) {
    static const char layer[] =
        "{\"mediaType\":\"application/"
        "vnd.docker.image.rootfs.foreign.diff.tar.gzip\",\"digest\":\"" DIFF_2
        "\",\"size\":9,\"urls\":[\"https://a.example/x\"]}";
    struct sb_descriptor d = put_image(
        "{\"os\":\"linux\",\"architecture\":\"amd64\"," ROOTFS("\"" DIFF_1 "\"") "}", layer);
    struct sb_image image;
    struct sb_error err = {0};
    if (!CHECK_INT(sb_image_load(store, &d, &image, &err), 0)) {
        printf("    %s\n", err.message);
        return;
    }
    CHECK_INT(sb_image_save(store, &image, 0, &err), 0);
    sb_autofree char *manifest = read_blob(&image.descriptor);
    CHECK(strstr(manifest, "nondistributable.v1.tar+gzip") != NULL);
    CHECK(strstr(manifest, "\"urls\":[\"https://a.example/x\"]") != NULL);
    sb_image_free(&image);
}

/* ---- what is wrong ---- */

static void check_refused(const struct sb_descriptor *d, const char *message) {
    struct sb_error err = {0};
    struct sb_image image;
    CHECK_INT(sb_image_load(store, d, &image, &err), -1);
    if (!CHECK(strstr(err.message, message) != NULL))
        printf("    %s\n    (%s)\n", err.message, message);
    CHECK(image.config == NULL && image.layers == NULL);
}

#define OK_START "{\"os\":\"linux\",\"architecture\":\"amd64\","
#define ONE      ROOTFS("\"" DIFF_1 "\"")

static void test_wrong_config(void) {
    static const struct {
        const char *config, *layers, *message;
    } cases[] = {
        {"[]", "", "not a JSON object"},
        {"{", "", "invalid JSON"},
        {"{\"os\":1,\"architecture\":\"amd64\"," ONE "}", LAYER_1, "\"os\" has the wrong type"},
        {"{\"os\":\"windows\",\"architecture\":\"amd64\"," ONE "}", LAYER_1, "for windows"},
        {OK_START ONE "}", "", "0 layers, and its config has 1"},
        {OK_START ONE "}", LAYER_1 "," LAYER_2, "2 layers, and its config has 1"},
        {OK_START "\"rootfs\":{\"diff_ids\":\"x\"}}", LAYER_1, "0 diff IDs"},
        {OK_START "\"rootfs\":{\"diff_ids\":[1]}}", LAYER_1, "the diff ID is not a string"},
        {OK_START ROOTFS("\"sha256:zz\"") "}", LAYER_1, "layer 1: the digest"},
        {OK_START ROOTFS("\"md5:zz\"") "}", LAYER_1, "not of the form sha256:"},
        {OK_START "\"rootfs\":[]}", LAYER_1, "\"rootfs\" has the wrong type"},
        {OK_START "\"history\":{}," ONE "}", LAYER_1, "\"history\" is not an array"},
        {OK_START "\"history\":[1]," ONE "}", LAYER_1, "history[0] is not an object"},
        {OK_START "\"config\":[]," ONE "}", LAYER_1, "\"config\" has the wrong type"},
        {OK_START "\"config\":{\"Env\":{}}," ONE "}", LAYER_1, "\"Env\" has the wrong type"},
        {OK_START "\"config\":{\"Env\":[1]}," ONE "}", LAYER_1, "\"Env\" has the wrong type"},
        {OK_START "\"config\":{\"Labels\":{\"a\":1}}," ONE "}", LAYER_1, "\"Labels\" has"},
        {OK_START ONE "}", "1", "layer 1: a descriptor is missing"},
        {OK_START ONE "}", "{}", "layer 1: a descriptor has no mediaType"},
        {OK_START ONE "}", "{\"mediaType\":\"" SB_MEDIA_LAYER_TAR "\"}", "has no digest"},
        {OK_START ONE "}",
         "{\"mediaType\":\"" SB_MEDIA_LAYER_TAR "\",\"digest\":\"" DIFF_1 "\",\"size\":-1}",
         "no size"},
        {OK_START ONE "}",
         "{\"mediaType\":\"" SB_MEDIA_LAYER_TAR "\",\"digest\":\"" DIFF_1 "\",\"size\":1.5}",
         "no size"},
        {OK_START ONE "}",
         "{\"mediaType\":\"application/vnd.in-toto+json\",\"digest\":\"" DIFF_1 "\",\"size\":1}",
         "no image layer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_descriptor d = put_image(cases[i].config, cases[i].layers);
        check_refused(&d, cases[i].message);
    }
}

static void test_wrong_manifest(void) {
    struct sb_descriptor config = put(SB_MEDIA_CONFIG, OK_START "\"rootfs\":{\"diff_ids\":[]}}");
    sb_autofree char *c = descriptor_text(&config, "");
    static const struct {
        const char *format, *message;
    } cases[] = {
        {"{\"schemaVersion\":1,\"config\":%s,\"layers\":[]}", "schemaVersion is not 2"},
        {"{\"schemaVersion\":2,\"config\":%s,\"layers\":{}}", "\"layers\" is not an array"},
        {"{\"schemaVersion\":2,\"config\":%s,\"layers\":[],\"manifests\":[]}", "at once"},
        {"{\"schemaVersion\":2,\"mediaType\":\"" SB_MEDIA_INDEX "\",\"config\":%s}", "mediaType"},
        {"{\"schemaVersion\":2,\"mediaType\":7,\"config\":%s}", "mediaType"},
        {"{\"schemaVersion\":2,\"x\":%s,\"layers\":[]}", "config: a descriptor is missing"},
        {"{\"schemaVersion\":2,\"config\":%s,\"layers\":[],\"annotations\":[]}", "annotations"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        sb_autofree char *text = sb_format(cases[i].format, c);
#pragma GCC diagnostic pop
        struct sb_descriptor d = put(SB_MEDIA_MANIFEST, text);
        check_refused(&d, cases[i].message);
    }
    struct sb_descriptor artifact = put(
        SB_MEDIA_MANIFEST, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci."
                           "empty.v1+json\",\"digest\":\"" DIFF_1 "\",\"size\":2},\"layers\":[]}");
    check_refused(&artifact, "an artifact of the type");
    struct sb_descriptor d = config;
    check_refused(&d, "is no image");
    d.media_type = SB_MEDIA_MANIFEST;
    d.digest = sb_digest_of("nowhere", 7);
    check_refused(&d, "is not in the store");
    d.size = (uint64_t)SB_MANIFEST_LIMIT + 1;
    check_refused(&d, "at most");

    sb_autobuf struct sb_buf layers = {0}, ids = {0};
    for (int i = 0; i <= SB_LAYER_LIMIT; i++) {
        sb_buf_addf(&layers, "%s" LAYER_1, i ? "," : "");
        sb_buf_addf(&ids, "%s\"" DIFF_1 "\"", i ? "," : "");
    }
    sb_autofree char *many =
        sb_format(OK_START "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}", ids.data);
    d = put_image(many, layers.data);
    check_refused(&d, "128 layers, and at most 127");

    sb_autobuf struct sb_buf deep = {0};
    for (int i = 0; i < 100000; i++)
        sb_buf_adds(&deep, "[");
    d = put(SB_MEDIA_MANIFEST, deep.data);
    check_refused(&d, "depth");
}

/* ---- indexes ---- */

static struct sb_descriptor put_index(const char *entries) {
    sb_autofree char *text = sb_format(
        "{\"schemaVersion\":2,\"mediaType\":\"" SB_MEDIA_INDEX "\",\"manifests\":[%s]}", entries);
    return put(SB_MEDIA_INDEX, text);
}

static char *platform_entry(const struct sb_descriptor *d, const char *os, const char *architecture,
                            const char *more) {
    sb_autofree char *platform = sb_format(
        ",\"platform\":{\"os\":\"%s\",\"architecture\":\"%s\"%s}", os, architecture, more);
    return descriptor_text(d, platform);
}

static void test_index(void) {
    struct sb_error err = {0};
    struct sb_image image;
    struct sb_descriptor mine =
        put_image(OK_START "\"author\":\"mine\",\"rootfs\":{\"diff_ids\":[]}}", "");
    struct sb_descriptor other = put_image(OK_START "\"rootfs\":{\"diff_ids\":[]}}", "");
    const char *architecture = sb_platform_architecture();
    sb_autofree char *good = platform_entry(&mine, "linux", architecture, "");
    sb_autofree char *windows = platform_entry(&other, "windows", architecture, "");
    sb_autofree char *foreign = platform_entry(&other, "linux", "mips", ",\"variant\":\"x\"");
    sb_autofree char *newer = platform_entry(&other, "linux", architecture, ",\"variant\":\"v99\"");
    sb_autofree char *unknown = platform_entry(&other, "unknown", "unknown", "");
    sb_autofree char *attestation = descriptor_text(
        &other, ",\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}");
    sb_autofree char *plain = descriptor_text(&mine, "");
    sb_autofree char *all =
        sb_format("1,{},%s,%s,%s,%s,%s,%s", attestation, unknown, windows, foreign, newer, good);
    struct sb_descriptor index = put_index(all);
    CHECK_INT(sb_image_load(store, &index, &image, &err), 0);
    CHECK_STR(sb_json_string(image.config, "author", ""), "mine");
    CHECK(sb_digest_equal(&image.descriptor.digest, &mine.digest));
    sb_image_free(&image);

    struct sb_descriptor unnamed = put_index(plain); /* no platform, and nothing else */
    CHECK_INT(sb_image_load(store, &unnamed, &image, &err), 0);
    sb_image_free(&image);

    sb_autofree char *none = sb_format("%s,%s,%s,%s", attestation, windows, foreign, newer);
    struct sb_descriptor bad = put_index(none);
    CHECK_INT(sb_image_load(store, &bad, &image, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK(strstr(err.hint, "windows/") && strstr(err.hint, "linux/mips/x"));
    struct sb_descriptor untyped = index; /* of a type that sbuild doesn't know */
    untyped.media_type = NULL;
    CHECK_INT(sb_image_load(store, &untyped, &image, &err), -1);
    CHECK(strstr(err.message, "is no image"));
    CHECK(!sb_media_static(NULL) && !sb_media_oci(NULL));

    sb_autofree char *inner = descriptor_text(&index, "");
    struct sb_descriptor nested = put_index(inner);
    CHECK_INT(sb_image_load(store, &nested, &image, &err), 0);
    sb_image_free(&image);
    sb_autofree char *deeper = descriptor_text(&nested, "");
    struct sb_descriptor deep = put_index(deeper);
    check_refused(&deep, "more than 2 indexes");
    struct sb_descriptor empty = put_index("");
    check_refused(&empty, "is not made for");
}

/* Looking changes no last use; loading does, for layers too. */
static void test_use(void) {
    struct sb_error err = {0};
    struct sb_descriptor layer = put(SB_MEDIA_LAYER_TAR, "a layer");
    sb_autofree char *text = descriptor_text(&layer, "");
    struct sb_descriptor d = put_image(OK_START ONE "}", text);
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    sb_autofree char *path = sb_blob_path(&layer.digest), *manifest = sb_blob_path(&d.digest);
    utimensat(sb_store_fd(store), path, old, 0);
    utimensat(sb_store_fd(store), manifest, old, 0);
    struct sb_image image;
    struct stat st;
    CHECK_INT(sb_image_peek(store, &d, &image, &err), 0);
    sb_image_free(&image);
    fstatat(sb_store_fd(store), manifest, &st, 0);
    CHECK_INT(st.st_mtime, 1000);
    CHECK_INT(sb_image_load(store, &d, &image, &err), 0);
    sb_image_free(&image);
    fstatat(sb_store_fd(store), manifest, &st, 0);
    CHECK(st.st_mtime > 1000);
    fstatat(sb_store_fd(store), path, &st, 0);
    CHECK(st.st_mtime > 1000);
}

int main(void) {
    char template[] = "/var/tmp/sb-image-XXXXXX";
    struct sb_error err = {0};
    if (!mkdtemp(template) || sb_store_open(template, &store, &err) < 0) {
        printf("%s\n", err.message);
        return 1;
    }
    test_save();
    test_base();
    test_odd_platform();
    test_urls();
    test_wrong_config();
    test_wrong_manifest();
    test_index();
    test_use();
    sb_store_close(store);
    CHECK_INT(sb_tree_remove(AT_FDCWD, template, &err), 0);
    return test_done();
}
