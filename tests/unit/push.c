/* What a push rewrites: layers compressed anew, manifests in the other format; and platforms. */
#include "registry/push.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "layers/collect.h"
#include "layers/convert.h"
#include "layers/descriptor.h"
#include "layers/image.h"
#include "layers/reader.h"
#include "registry/push_private.h"
#include "tests/unit/test.h"

static char *directory;
static struct sb_store *store;
static struct sb_error err;

/* ---- layers ---- */

static struct sb_layer make_layer(enum sb_compression compression, size_t size) {
    struct sb_pack_options options = {.compression = compression, .threads = 2};
    struct sb_packer *packer;
    struct sb_layer layer = {0};
    sb_autofree char *data = sb_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * i % 251);
    struct sb_entry entry = {.path = "file", .mode = S_IFREG | 0644, .size = size};
    CHECK_INT(sb_packer_start(store, &options, &packer, &err), 0);
    CHECK_INT(sb_packer_entry(packer, &entry, &err), 0);
    CHECK_INT(sb_packer_data(packer, data, size, &err), 0);
    CHECK_INT(sb_packer_finish(packer, &layer, &err), 0);
    return layer;
}

static void check_same_tar(const struct sb_layer *layer) {
    struct sb_layer_reader *reader;
    struct sb_digest diff_id;
    CHECK_INT(sb_layer_reader_open(store, &layer->descriptor, &reader, &err), 0);
    CHECK_INT(sb_layer_reader_finish(reader, &diff_id, NULL, &err), 0);
    CHECK(sb_digest_equal(&diff_id, &layer->diff_id));
}

static void test_convert(void) {
    static const struct {
        enum sb_compression from, to;
        const char *type;
    } cases[] = {
        {SB_COMPRESSION_ZSTD, SB_COMPRESSION_GZIP, SB_MEDIA_LAYER_GZIP},
        {SB_COMPRESSION_GZIP, SB_COMPRESSION_ZSTD, SB_MEDIA_LAYER_ZSTD},
        {SB_COMPRESSION_NONE, SB_COMPRESSION_GZIP, SB_MEDIA_LAYER_GZIP},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_layer layer = make_layer(cases[i].from, 9000000 + i), found, made, direct;
        CHECK_INT(sb_layer_compression(layer.descriptor.media_type), cases[i].from);
        CHECK(!sb_layer_find_converted(store, &layer, cases[i].to, &found));
        if (!CHECK_INT(sb_layer_convert(store, &layer, cases[i].to, &made, &err), 0))
            continue;
        CHECK_STR(made.descriptor.media_type, cases[i].type);
        CHECK(sb_digest_equal(&made.diff_id, &layer.diff_id));
        CHECK_INT(made.tar_size, layer.tar_size);
        check_same_tar(&made);
        CHECK(sb_layer_find_converted(store, &layer, cases[i].to, &found));
        CHECK(sb_digest_equal(&found.descriptor.digest, &made.descriptor.digest));
        CHECK_INT(found.descriptor.size, made.descriptor.size);
        direct = make_layer(cases[i].to, 9000000 + i); /* and the bytes are the packer's */
        CHECK(sb_digest_equal(&direct.descriptor.digest, &made.descriptor.digest));
    }
}

static void test_convert_wrong(void) {
    struct sb_layer layer = make_layer(SB_COMPRESSION_ZSTD, 5000), made;
    layer.diff_id = sb_digest_of("another", 7);
    CHECK_INT(sb_layer_convert(store, &layer, SB_COMPRESSION_GZIP, &made, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    CHECK(!sb_layer_find_converted(store, &layer, SB_COMPRESSION_GZIP, &made));
    sb_error_clear(&err);
}

/* A converted layer is remembered only as long as its blob is there. */
static void test_forgotten(void) {
    struct sb_layer layer = make_layer(SB_COMPRESSION_ZSTD, 6000), made, found;
    CHECK_INT(sb_layer_convert(store, &layer, SB_COMPRESSION_GZIP, &made, &err), 0);
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    struct sb_collect_report report;
    CHECK_INT(sb_store_collect(store, &options, &report, &err), 0);
    sb_collect_report_free(&report);
    CHECK(sb_layer_find_converted(store, &layer, SB_COMPRESSION_GZIP, &found));
    CHECK(!sb_blob_has(store, &layer.descriptor.digest, 0)); /* no image had it */
    sb_autofree char *path = sb_blob_path(&made.descriptor.digest);
    CHECK_INT(sb_tree_remove(sb_store_fd(store), path, &err), 0);
    CHECK(!sb_layer_find_converted(store, &layer, SB_COMPRESSION_GZIP, &found));
}

/* ---- manifests ---- */

#define DIGEST "sha256:0000000000000000000000000000000000000000000000000000000000000000"

static json_t *manifest_of(const char *type, const char *layer_type) {
    return json_pack("{s:i, s:s, s:{s:s, s:s, s:i}, s:[{s:s, s:s, s:i, s:{s:s}}], s:{s:s}}",
                     "schemaVersion", 2, "mediaType", type, "config", "mediaType", SB_MEDIA_CONFIG,
                     "digest", DIGEST, "size", 7, "layers", "mediaType", layer_type, "digest",
                     DIGEST, "size", 9, "annotations", "a", "layer", "annotations", "b", "image");
}

static void test_needed(void) {
    sb_autojson json_t *zstd = manifest_of(SB_MEDIA_MANIFEST, SB_MEDIA_LAYER_ZSTD);
    sb_autojson json_t *gzip = manifest_of(SB_MEDIA_MANIFEST, SB_MEDIA_LAYER_GZIP);
    sb_autojson json_t *docker = manifest_of(SB_MEDIA_DOCKER_MANIFEST, SB_MEDIA_DOCKER_LAYER);
    struct sb_push_options o = {0};
    CHECK(!sb_rewrite_needed(zstd, &o) && !sb_rewrite_needed(docker, &o));
    o.compression = SB_PUSH_COMPRESSION_GZIP;
    CHECK(sb_rewrite_needed(zstd, &o) && !sb_rewrite_needed(gzip, &o));
    CHECK(!sb_rewrite_needed(docker, &o));
    o.compression = SB_PUSH_COMPRESSION_ZSTD;
    CHECK(!sb_rewrite_needed(zstd, &o) && sb_rewrite_needed(docker, &o));
    o = (struct sb_push_options){.format = SB_PUSH_FORMAT_OCI};
    CHECK(!sb_rewrite_needed(zstd, &o) && sb_rewrite_needed(docker, &o));
    o.format = SB_PUSH_FORMAT_DOCKER;
    CHECK(sb_rewrite_needed(gzip, &o) && !sb_rewrite_needed(docker, &o));
    CHECK_INT(sb_rewrite_compression(SB_MEDIA_LAYER_ZSTD, &o), SB_COMPRESSION_GZIP);
    CHECK_INT(sb_rewrite_compression(SB_MEDIA_LAYER_TAR, &o), SB_COMPRESSION_GZIP);
}

static void check_rewritten(const char *type, const char *layer_type, const char *sent_type,
                            enum sb_push_format format, const char *expected) {
    sb_autojson json_t *manifest = manifest_of(type, layer_type);
    struct sb_descriptor layer = {sent_type, sb_digest_of("x", 1), 5};
    sb_autobuf struct sb_buf out = {0};
    const char *media_type = NULL;
    CHECK_INT(sb_rewrite_manifest(manifest, &layer, format, &out, &media_type, &err), 0);
    sb_autojson json_t *result = sb_json_parse(out.data, out.len, &err);
    const json_t *first = json_array_get(json_object_get(result, "layers"), 0);
    sb_autofree char *text =
        sb_format("%s %s %s %d %s%s", sb_json_string(result, "mediaType", ""),
                  sb_json_string(json_object_get(result, "config"), "mediaType", ""),
                  sb_json_string(first, "mediaType", ""), (int)sb_json_integer(first, "size", 0),
                  sb_json_string(json_object_get(first, "annotations"), "a", "-"),
                  sb_json_string(json_object_get(result, "annotations"), "b", "-"));
    CHECK_STR(text, expected);
    CHECK_STR(media_type, sb_json_string(result, "mediaType", ""));
    CHECK_STR(sb_json_string(first, "digest", ""), sb_digest_text(&layer.digest).text);
    CHECK_STR(sb_json_string(json_object_get(result, "config"), "digest", ""), DIGEST);
}

static void test_rewrite(void) {
    check_rewritten(
        SB_MEDIA_MANIFEST, SB_MEDIA_LAYER_ZSTD, SB_MEDIA_LAYER_GZIP, SB_PUSH_FORMAT_DOCKER,
        SB_MEDIA_DOCKER_MANIFEST " " SB_MEDIA_DOCKER_CONFIG " " SB_MEDIA_DOCKER_LAYER " 5 --");
    check_rewritten(SB_MEDIA_DOCKER_MANIFEST, SB_MEDIA_DOCKER_LAYER, SB_MEDIA_DOCKER_LAYER,
                    SB_PUSH_FORMAT_OCI,
                    SB_MEDIA_MANIFEST " " SB_MEDIA_CONFIG " " SB_MEDIA_LAYER_GZIP " 5 -image");
    check_rewritten(SB_MEDIA_MANIFEST, SB_MEDIA_LAYER_GZIP, SB_MEDIA_LAYER_ZSTD,
                    SB_PUSH_FORMAT_KEEP,
                    SB_MEDIA_MANIFEST " " SB_MEDIA_CONFIG " " SB_MEDIA_LAYER_ZSTD " 5 -image");
}

#define FOREIGN        "application/vnd.oci.image.layer.nondistributable.v1."
#define DOCKER_FOREIGN "application/vnd.docker.image.rootfs.foreign.diff."

/* What stays of a descriptor: of the same blob all that the format has, of another nothing that
 * tells of the old one. */
static void test_rewrite_descriptors(void) {
    static const char other[] =
        "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"; /* "x" */
    static const struct {
        const char *type, *sent_type;
        bool same;
        enum sb_push_format format;
        const char *expected; /* but digest and size */
    } cases[] = {
        {SB_MEDIA_LAYER_ZSTD, SB_MEDIA_LAYER_GZIP, false, SB_PUSH_FORMAT_KEEP,
         "{\"mediaType\":\"" SB_MEDIA_LAYER_GZIP
         "\",\"annotations\":{\"dev.sbuild.layer.name\":\"app\","
         "\"org.opencontainers.image.title\":\"t\"}}"},
        {SB_MEDIA_LAYER_GZIP, SB_MEDIA_LAYER_ZSTD, false, SB_PUSH_FORMAT_OCI,
         "{\"mediaType\":\"" SB_MEDIA_LAYER_ZSTD
         "\",\"annotations\":{\"dev.sbuild.layer.name\":\"app\","
         "\"org.opencontainers.image.title\":\"t\"}}"},
        {SB_MEDIA_LAYER_ZSTD, SB_MEDIA_LAYER_GZIP, false, SB_PUSH_FORMAT_DOCKER,
         "{\"mediaType\":\"" SB_MEDIA_DOCKER_LAYER "\"}"},
        {SB_MEDIA_LAYER_GZIP, SB_MEDIA_LAYER_GZIP, true, SB_PUSH_FORMAT_DOCKER,
         "{\"mediaType\":\"" SB_MEDIA_DOCKER_LAYER "\",\"urls\":[\"https://a.example/b\"]}"},
        {FOREIGN "tar+gzip", FOREIGN "tar+gzip", true, SB_PUSH_FORMAT_DOCKER,
         "{\"mediaType\":\"" DOCKER_FOREIGN "tar.gzip\",\"urls\":[\"https://a.example/b\"]}"},
        {DOCKER_FOREIGN "tar.gzip", DOCKER_FOREIGN "tar.gzip", true, SB_PUSH_FORMAT_OCI, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autojson json_t *manifest = manifest_of(SB_MEDIA_MANIFEST, cases[i].type);
        json_t *layer = json_array_get(json_object_get(manifest, "layers"), 0);
        json_object_set_new(layer, "data", json_string("eA=="));
        json_object_set_new(layer, "urls", json_pack("[s]", "https://a.example/b"));
        json_object_set_new(layer, "annotations",
                            json_pack("{s:s, s:s, s:s, s:s, s:s}", "dev.sbuild.layer.name", "app",
                                      "org.opencontainers.image.title", "t",
                                      "io.github.containers.zstd-chunked.manifest-checksum",
                                      "sha256:1", "containerd.io/snapshot/stargz/toc.digest",
                                      "sha256:2", "containerd.io/snapshot/nydus-blob", "true"));
        struct sb_descriptor sent = {cases[i].sent_type, sb_digest_of("x", 1), 5};
        if (cases[i].same)
            sb_digest_parse(DIGEST, &sent.digest, NULL);
        sb_autobuf struct sb_buf out = {0};
        const char *media_type;
        CHECK_INT(sb_rewrite_manifest(manifest, &sent, cases[i].format, &out, &media_type, &err),
                  0);
        sb_autojson json_t *result = sb_json_parse(out.data, out.len, &err);
        json_t *is = json_array_get(json_object_get(result, "layers"), 0);
        CHECK_STR(sb_json_string(is, "digest", ""), cases[i].same ? DIGEST : other);
        if (!cases[i].expected) { /* all of it, under the other name */
            json_object_set_new(layer, "mediaType", json_string(FOREIGN "tar+gzip"));
            json_object_set_new(layer, "size", json_integer(5));
            CHECK(json_equal(layer, is));
            continue;
        }
        json_object_del(is, "digest");
        json_object_del(is, "size");
        sb_autojson json_t *expected =
            sb_json_parse(cases[i].expected, strlen(cases[i].expected), &err);
        if (!CHECK(json_equal(is, expected)))
            printf("    case %zu: %s\n", i, out.data);
    }
}

/* A bundle stays one. */
static void test_rewrite_artifact(void) {
    sb_autojson json_t *manifest = manifest_of(SB_MEDIA_MANIFEST, SB_MEDIA_LAYER_ZSTD);
    json_object_set_new(manifest, "artifactType", json_string("application/x"));
    json_object_set_new(manifest, "subject", json_pack("{s:s}", "digest", DIGEST));
    struct sb_descriptor sent = {SB_MEDIA_LAYER_GZIP, sb_digest_of("x", 1), 5};
    sb_autobuf struct sb_buf out = {0};
    const char *media_type;
    CHECK_INT(sb_rewrite_manifest(manifest, &sent, SB_PUSH_FORMAT_KEEP, &out, &media_type, &err),
              0);
    sb_autojson json_t *result = sb_json_parse(out.data, out.len, &err);
    CHECK_STR(sb_json_string(result, "artifactType", ""), "application/x");
    CHECK_STR(sb_json_string(json_object_get(result, "subject"), "digest", ""), DIGEST);
}

/* Layers that may not be distributed go as they are, unless the format can't say so. */
static void test_foreign(void) {
    static const char *const types[] = {FOREIGN "tar", FOREIGN "tar+gzip", FOREIGN "tar+zstd",
                                        DOCKER_FOREIGN "tar", DOCKER_FOREIGN "tar.gzip"};
    static const enum sb_compression compressions[] = {SB_COMPRESSION_NONE, SB_COMPRESSION_GZIP,
                                                       SB_COMPRESSION_ZSTD, SB_COMPRESSION_NONE,
                                                       SB_COMPRESSION_GZIP};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        CHECK_INT(sb_media_kind(types[i]), SB_MEDIA_KIND_LAYER);
        CHECK(sb_media_foreign(types[i]));
        CHECK_INT(sb_layer_compression(types[i]), compressions[i]);
        struct sb_push_options o = {.compression = SB_PUSH_COMPRESSION_GZIP};
        CHECK_INT(sb_rewrite_compression(types[i], &o), compressions[i]);
        o.compression = SB_PUSH_COMPRESSION_ZSTD;
        CHECK_INT(sb_rewrite_compression(types[i], &o), compressions[i]);
        o.format = SB_PUSH_FORMAT_DOCKER;
        CHECK_INT(sb_rewrite_compression(types[i], &o),
                  compressions[i] == SB_COMPRESSION_ZSTD ? SB_COMPRESSION_GZIP : compressions[i]);
    }
    CHECK(!sb_media_foreign(SB_MEDIA_LAYER_GZIP) && !sb_media_foreign(NULL));
}

/* ---- platforms ---- */

static void check_choice(const char *wanted, const char *expected) {
    static const char *const offered[][3] = {{"linux", "amd64", NULL}, {"linux", "arm64", NULL},
                                             {"linux", "arm", "v5"},   {"linux", "arm", "v6"},
                                             {"linux", "amd64", "v3"}, {"windows", "amd64", NULL}};
    sb_autojson json_t *manifests = json_array();
    for (size_t i = 0; i < sizeof offered / sizeof *offered; i++) {
        struct sb_digest digest = sb_digest_of(&i, sizeof i);
        json_t *platform = json_pack("{s:s, s:s, s:s*}", "os", offered[i][0], "architecture",
                                     offered[i][1], "variant", offered[i][2]);
        json_array_append_new(manifests,
                              json_pack("{s:s, s:s, s:i, s:o}", "mediaType", SB_MEDIA_MANIFEST,
                                        "digest", sb_digest_text(&digest).text, "size", (int)i + 1,
                                        "platform", platform));
    }
    struct sb_platform platform;
    struct sb_descriptor chosen;
    CHECK_INT(sb_platform_parse(wanted, &platform, &err), 0);
    int rc = sb_platform_choose(manifests, &platform, &chosen, &err);
    sb_platform_free(&platform);
    sb_autofree char *text = NULL;
    if (rc == 0) {
        const char *const *is = offered[chosen.size - 1];
        text = sb_format("%s/%s%s%s", is[0], is[1], is[2] ? "/" : "", is[2] ? is[2] : "");
    }
    if (!CHECK_STR(text, expected))
        printf("    wanted %s\n", wanted);
    sb_error_clear(&err);
}

static void test_platforms(void) {
    check_choice("linux/amd64", "linux/amd64");
    check_choice("linux/amd64/v1", "linux/amd64");
    check_choice("linux/amd64/v2", "linux/amd64");
    check_choice("linux/amd64/v3", "linux/amd64/v3");
    check_choice("linux/amd64/v4", "linux/amd64/v3");
    check_choice("linux/arm64/v8", "linux/arm64");
    check_choice("linux/arm/v7", "linux/arm/v6");
    check_choice("linux/arm", "linux/arm/v6");
    check_choice("linux/arm/v5", "linux/arm/v5");
    check_choice("linux/riscv64", NULL);
    check_choice("windows/amd64", "windows/amd64");
    static const char *const wrong[] = {"",         "linux",       "linux/",       "/amd64",
                                        "a/b/c/d",  "linux/a b",   "linux/amd64/", "Linux/amd64",
                                        "linux/\n", "linux/../x/y"};
    struct sb_platform platform;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (!CHECK_INT(sb_platform_parse(wrong[i], &platform, &err), -1))
            printf("    \"%s\"\n", wrong[i]);
    CHECK_INT(err.code, SB_E_USAGE);
}

/* What indexes in the wild say of linux/amd64 and linux/arm/v7. */
static void test_odd_platforms(void) {
    static const struct {
        const char *platform; /* JSON, or NULL: none */
        bool amd64, armv7;
    } cases[] = {
        {NULL, true, true},
        {"{}", true, true},
        {"null", true, true},
        {"{\"os\":\"\",\"architecture\":\"\"}", true, true},
        {"{\"os\":\"linux\"}", true, true},
        {"{\"os\":\"windows\"}", false, false},
        {"{\"architecture\":\"amd64\"}", true, false},
        {"{\"os\":\"\",\"architecture\":\"amd64\"}", true, false},
        {"{\"os\":\"Linux\",\"architecture\":\"amd64\"}", true, false},
        {"{\"os\":\"linux\",\"architecture\":\"x86_64\"}", true, false},
        {"{\"os\":\"linux\",\"architecture\":\"x86-64\"}", true, false},
        {"{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"\"}", true, false},
        {"{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"v1\"}", true, false},
        {"{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"v3\"}", false, false},
        {"{\"os\":\"linux\",\"architecture\":\"amd64\",\"os.version\":\"5.15\",\"os.features\":["
         "\"x\"]}",
         true, false},
        {"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}", false, true},
        {"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"7\"}", false, true},
        {"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"\"}", false, true},
        {"{\"os\":\"linux\",\"architecture\":\"armhf\"}", false, true},
        {"{\"os\":\"linux\",\"architecture\":\"armel\"}", false, true},
        {"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v8\"}", false, false},
        {"{\"os\":\"linux\",\"architecture\":\"aarch64\"}", false, false},
        {"{\"os\":\"unknown\",\"architecture\":\"unknown\"}", false, false},
        {"{\"os\":5,\"architecture\":[]}", true, true},
    };
    struct sb_platform amd64, armv7;
    CHECK_INT(sb_platform_parse("linux/amd64", &amd64, &err), 0);
    CHECK_INT(sb_platform_parse("linux/arm/v7", &armv7, &err), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].platform;
        sb_autojson json_t *manifests = json_pack("[{s:s, s:s, s:i}]", "mediaType",
                                                  SB_MEDIA_MANIFEST, "digest", DIGEST, "size", 1);
        if (text)
            json_object_set_new(json_array_get(manifests, 0), "platform",
                                json_loads(text, JSON_DECODE_ANY, NULL));
        struct sb_descriptor chosen;
        if (!CHECK_INT(sb_platform_choose(manifests, &amd64, &chosen, NULL),
                       cases[i].amd64 ? 0 : -1) ||
            !CHECK_INT(sb_platform_choose(manifests, &armv7, &chosen, NULL),
                       cases[i].armv7 ? 0 : -1))
            printf("    %s\n", text ? text : "none");
    }
    CHECK(sb_platform_fits(&amd64, "amd64") && sb_platform_fits(&amd64, "x86_64") &&
          sb_platform_fits(&amd64, "") && !sb_platform_fits(&amd64, "arm64"));
    sb_platform_free(&amd64);
    sb_platform_free(&armv7);
}

int main(void) {
    char template[] = "/tmp/sb-push.XXXXXX";
    directory = mkdtemp(template);
    if (!CHECK(directory != NULL) || !CHECK_INT(sb_store_open(directory, &store, &err), 0))
        return test_done();
    test_convert();
    test_convert_wrong();
    test_forgotten();
    test_needed();
    test_rewrite();
    test_rewrite_descriptors();
    test_rewrite_artifact();
    test_foreign();
    test_platforms();
    test_odd_platforms();
    sb_store_close(store);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
