/* Cache records in a registry: what is written is read again, and what others write is refused
 * unless it is whole. */
#include "builder/cache_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "tests/unit/test.h"

static struct sb_error err;

static struct sb_cache_record sample(void) {
    const struct sb_layer part = {
        .diff_id = sb_digest_of("tar", 3),
        .tar_size = 10240,
        .descriptor = {SB_MEDIA_LAYER_ZSTD, sb_digest_of("blob", 4), 1234}};
    const struct sb_descriptor contents = {SB_CACHE_CONTENTS_MEDIA, sb_digest_of("contents", 8),
                                           99};
    struct sb_cache_record record = {
        .key = sb_digest_of("key", 3),
        .contents = sb_memdup(&contents, sizeof contents),
        .recipe = sb_strdup("backend"),
        .name = sb_strdup("app"),
        .seconds = 1.5,
        .created = 1700000000,
    };
    sb_parts_add(&record.parts, &part);
    return record;
}

/* The same of a layer of two parts. */
static struct sb_cache_record sample_of_two(void) {
    const struct sb_layer part = {
        .diff_id = sb_digest_of("tar 2", 5),
        .tar_size = 20480,
        .descriptor = {SB_MEDIA_LAYER_GZIP, sb_digest_of("blob 2", 6), 77}};
    struct sb_cache_record record = sample();
    sb_parts_add(&record.parts, &part);
    record.contents = sb_realloc(record.contents, 2, sizeof *record.contents);
    record.contents[1] = (struct sb_descriptor){SB_CACHE_CONTENTS_MEDIA, sb_digest_of("c2", 2), 98};
    return record;
}

static void forget_contents(struct sb_cache_record *record) {
    free(record->contents);
    record->contents = NULL;
}

static void print(const struct sb_cache_record *record, struct sb_buf *out) {
    struct sb_descriptor config = {SB_MEDIA_CONFIG, sb_digest_of("config", 6), 300};
    sb_cache_record_print(record, &config, out);
}

static void check_same(const struct sb_cache_record *a, const struct sb_cache_record *b) {
    CHECK(sb_digest_equal(&a->key, &b->key));
    CHECK(sb_parts_equal(&a->parts, &b->parts));
    CHECK_INT(a->contents != NULL, b->contents != NULL);
    for (size_t i = 0; i < a->parts.n && i < b->parts.n; i++) {
        CHECK_STR(a->parts.v[i].descriptor.media_type, b->parts.v[i].descriptor.media_type);
        if (a->contents && b->contents) {
            CHECK_INT(a->contents[i].size, b->contents[i].size);
            CHECK(sb_digest_equal(&a->contents[i].digest, &b->contents[i].digest));
        }
    }
    CHECK_STR(a->recipe, b->recipe);
    CHECK_STR(a->name, b->name);
    CHECK(a->seconds == b->seconds);
    CHECK_INT(a->created, b->created);
}

static void check_round_trip(struct sb_cache_record record) {
    struct sb_cache_record read;
    for (int i = 0; i < 2; i++) {
        sb_autobuf struct sb_buf text = {0};
        print(&record, &text);
        if (CHECK_INT(sb_cache_record_parse(text.data, text.len, &read, &err), 0))
            check_same(&record, &read);
        sb_cache_record_free(&read);
        forget_contents(&record); /* the second time */
    }
    sb_cache_record_free(&record);
}

static void test_round_trip(void) {
    check_round_trip(sample());
    check_round_trip(sample_of_two());
}

/* Lists of different lengths, and more parts than there may be. */
static void test_odd_lists(void) {
    sb_autobuf struct sb_buf many = {0};
    struct sb_cache_record record = sample_of_two(), read;
    sb_autobuf struct sb_buf good = {0};
    print(&record, &good);
    for (size_t i = 0; i <= SB_PARTS_LIMIT; i++)
        sb_buf_addf(&many, "%s%s", i ? " " : "", sb_digest_text(&record.key).text);
    const struct {
        const char *note, *value, *message;
    } cases[] = {
        {"dev.sbuild.cache.tar-size", "10240", "size of the tar"},
        {"dev.sbuild.cache.tar-size", "10240 20480 30720", "size of the tar"},
        {"dev.sbuild.cache.tar-size", "10240  20480", "size of the tar"},
        {"dev.sbuild.cache.diff-id", many.data, "more parts"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autojson json_t *manifest = sb_json_parse(good.data, good.len, &err);
        sb_autobuf struct sb_buf text = {0};
        json_object_set_new(json_object_get(manifest, "annotations"), cases[i].note,
                            json_string(cases[i].value));
        sb_json_write(manifest, &text);
        CHECK_INT(sb_cache_record_parse(text.data, text.len, &read, &err), -1);
        if (!CHECK(strstr(err.message, cases[i].message)))
            printf("    case %zu: %s\n", i, err.message);
        CHECK(!read.parts.v);
    }
    sb_autojson json_t *manifest = sb_json_parse(good.data, good.len, &err);
    json_array_remove(json_object_get(manifest, "layers"), 3); /* one table of two */
    sb_buf_reset(&good);
    sb_json_write(manifest, &good);
    CHECK_INT(sb_cache_record_parse(good.data, good.len, &read, &err), -1);
    CHECK(strstr(err.message, "a table of contents of each"));
    sb_cache_record_free(&record);
}

/* The bytes are a format: docs/formats.md, "Cache records in a registry". */
static void test_bytes(void) {
    struct sb_cache_record record = sample();
    sb_autobuf struct sb_buf text = {0};
    print(&record, &text);
    CHECK_STR(text.data,
              "{\"annotations\":{\"dev.sbuild.cache.diff-id\":\"sha256:90aebae315675cbf04612de4"
              "f7d5874850f48e0b8dd82becbeaa47ca93f5ebfb\",\"dev.sbuild.cache.key\":\"sha256:2c7"
              "0e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683\",\"dev.sbuild.cac"
              "he.layer\":\"app\",\"dev.sbuild.cache.recipe\":\"backend\",\"dev.sbuild.cache.se"
              "conds\":\"1.500\",\"dev.sbuild.cache.tar-size\":\"10240\",\"dev.sbuild.cache.ver"
              "sion\":\"1\",\"org.opencontainers.image.created\":\"2023-11-14T22:13:20Z\"},\"co"
              "nfig\":{\"digest\":\"sha256:b79606fb3afea5bd1609ed40b622142f1c98125abcfe89a76a66"
              "1b0e8e343910\",\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"size"
              "\":300},\"layers\":[{\"digest\":\"sha256:fa2c8cc4f28176bbeed4b736df569a34c79cd37"
              "23e9ec42f9674b4d46ac6b8b8\",\"mediaType\":\"application/vnd.oci.image.layer.v1.t"
              "ar+zstd\",\"size\":1234},{\"digest\":\"sha256:d1b2a59fbea7e20077af9f91b27e95e865"
              "061b270be03ff539ab3b73587882e8\",\"mediaType\":\"application/vnd.oci.image.layer."
              "v1.tar+gzip\",\"size\":99}],\"mediaType\":\"application/vnd.oci.image.manifest.v1+js"
              "on\",\"schemaVersion\":2}");
    sb_cache_record_free(&record);
}

static void test_tags(void) {
    struct sb_digest key = sb_digest_of("key", 3);
    struct sb_cache_tag tag = sb_cache_record_tag(&key);
    CHECK_INT(strlen(tag.text), 67);
    CHECK(!strncmp(tag.text, "k1-", 3));
    CHECK(sb_cache_record_is_tag(tag.text));
    tag.text[66] = 'g';
    CHECK(!sb_cache_record_is_tag(tag.text));
    tag.text[66] = '\0';
    CHECK(!sb_cache_record_is_tag(tag.text));
    CHECK(!sb_cache_record_is_tag("latest"));
    CHECK(!sb_cache_record_is_tag(""));
}

static void test_renew(void) {
    struct sb_cache_record record = sample(), read;
    sb_autobuf struct sb_buf text = {0}, renewed = {0};
    print(&record, &text);
    CHECK_INT(sb_cache_record_renew(text.data, text.len, 1800000000, &renewed, &err), 0);
    if (CHECK_INT(sb_cache_record_parse(renewed.data, renewed.len, &read, &err), 0)) {
        record.created = 1800000000;
        check_same(&record, &read);
    }
    sb_cache_record_free(&read);
    sb_cache_record_free(&record);
    CHECK_INT(sb_cache_record_renew("[]", 2, 0, &renewed, &err), -1);
}

static void test_config(void) {
    struct sb_cache_record record = sample();
    struct sb_digest table = sb_digest_of("table", 5);
    sb_autojson json_t *key = json_pack("{s:s}", "kind", "copy");
    sb_autobuf struct sb_buf text = {0};
    sb_cache_record_config(&record, &table, key, &text);
    sb_autojson json_t *config = sb_json_parse(text.data, text.len, &err);
    const json_t *diff_ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
    CHECK_INT(json_array_size(diff_ids), 2);
    CHECK_STR(json_string_value(json_array_get(diff_ids, 0)),
              sb_digest_text(&record.parts.v[0].diff_id).text);
    CHECK_STR(json_string_value(json_array_get(diff_ids, 1)), sb_digest_text(&table).text);
    CHECK_STR(sb_json_string(config, "os", ""), "linux");
    CHECK(json_equal(json_object_get(config, "dev.sbuild.cache.key"), key));

    sb_autofree char *large = sb_alloc((2 << 20) + 1);
    memset(large, 'x', 2 << 20);
    json_object_set_new(key, "huge", json_string(large));
    sb_buf_reset(&text);
    sb_cache_record_config(&record, NULL, key, &text);
    CHECK(text.len < 1000);
    sb_cache_record_free(&record);
}

/* ---- what must be refused ---- */

static const char *const notes = "annotations";

/* A record in which the value at object.key is another; NULL: is missing. */
static void spoil(json_t *manifest, const char *object, const char *key, json_t *value) {
    json_t *target = manifest;
    if (object && !strcmp(object, "layer"))
        target = json_array_get(json_object_get(manifest, "layers"), 0);
    else if (object && !strcmp(object, "contents"))
        target = json_array_get(json_object_get(manifest, "layers"), 1);
    else if (object)
        target = json_object_get(manifest, object);
    if (value)
        json_object_set_new(target, key, value);
    else
        json_object_del(target, key);
}

static void test_refused(void) {
    const struct {
        const char *object, *key;
        json_t *value;
        const char *message; /* part of it */
    } cases[] = {
        {NULL, "schemaVersion", json_integer(1), "schemaVersion"},
        {NULL, "mediaType", json_string(SB_MEDIA_INDEX), "mediaType"},
        {NULL, "manifests", json_array(), "index and an image at once"},
        {NULL, "config", NULL, "its config"},
        {NULL, "layers", json_array(), "its layer's parts"},
        {NULL, "layers", json_pack("[{}, {}, {}]"), "its layer's parts"},
        {NULL, "layers", json_object(), "its layer's parts"},
        {NULL, "annotations", NULL, "no cache record of version 1"},
        {NULL, "annotations", json_pack("[]"), "no cache record of version 1"},
        {notes, "dev.sbuild.cache.version", json_string("2"), "no cache record of version 1"},
        {notes, "dev.sbuild.cache.version", json_integer(1), "no cache record of version 1"},
        {notes, "dev.sbuild.cache.key", NULL, "its key"},
        {notes, "dev.sbuild.cache.key", json_string("sha256:12"), "its key"},
        {notes, "dev.sbuild.cache.diff-id", json_string("sha512:12"), "its diff ID"},
        {notes, "dev.sbuild.cache.tar-size", json_string("-1"), "size of the tar"},
        {notes, "dev.sbuild.cache.tar-size", json_string("0x400"), "size of the tar"},
        {notes, "dev.sbuild.cache.tar-size", json_string("01024"), "size of the tar"},
        {notes, "dev.sbuild.cache.tar-size", json_string("99999999999999999999"),
         "size of the tar"},
        {notes, "dev.sbuild.cache.tar-size", json_string("512"), "a size that can't be"},
        {notes, "dev.sbuild.cache.tar-size", json_string("99999999999999"), "a size that can't be"},
        {notes, "dev.sbuild.cache.seconds", json_string("nan"), "time of building"},
        {notes, "dev.sbuild.cache.seconds", json_string("1.2.3"), "time of building"},
        {notes, "org.opencontainers.image.created", NULL, "time of creation"},
        {notes, "org.opencontainers.image.created", json_string("2026-02-30T00:00:00Z"),
         "time of creation"},
        {notes, "org.opencontainers.image.created", json_string("1969-12-31T23:59:59Z"),
         "time of creation"},
        {notes, "org.opencontainers.image.created", json_string("2026-01-01T00:00:00+01:00"),
         "time of creation"},
        {"layer", "mediaType", json_string("application/octet-stream"), "media type"},
        {"layer", "mediaType", json_string(SB_MEDIA_DOCKER_LAYER), "media type"},
        {"layer", "mediaType", NULL, "no mediaType"},
        {"layer", "digest", json_string("sha256:../../etc/passwd"), ""},
        {"layer", "size", json_integer(0), "a size that can't be"},
        {"layer", "size", json_integer(-5), "no size"},
        {"layer", "size", json_string("5"), "no size"},
        {"layer", "urls", json_pack("[s]", "file:///etc/passwd"), "lies elsewhere"},
        {"contents", "mediaType", json_string("application/x"), "media type that none has"},
        {"contents", "size", json_integer(0), "a size that can't be"},
        {"contents", "size", json_integer((json_int_t)SB_CACHE_CONTENTS_LIMIT + 1),
         "a size that can't be"},
        {"contents", "digest", json_integer(7), "no digest"},
    };
    struct sb_cache_record record = sample();
    sb_autobuf struct sb_buf good = {0};
    print(&record, &good);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autojson json_t *manifest = sb_json_parse(good.data, good.len, &err);
        spoil(manifest, cases[i].object, cases[i].key, cases[i].value);
        sb_autobuf struct sb_buf text = {0};
        struct sb_cache_record read;
        sb_json_write(manifest, &text);
        sb_error_clear(&err);
        if (!CHECK_INT(sb_cache_record_parse(text.data, text.len, &read, &err), -1) ||
            !CHECK_INT(err.code, SB_E_INTEGRITY) || !CHECK(strstr(err.message, cases[i].message)))
            printf("    case %zu: %s\n", i, err.message);
        CHECK(!read.recipe && !read.name && !read.parts.v && !read.contents);
    }
    sb_cache_record_free(&record);
}

static void test_no_manifest(void) {
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "null",
                                        "{}",
                                        "{\"a\":1}{\"b\":2}",
                                        "{\"schemaVersion\":2,\"schemaVersion\":2}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct sb_cache_record read;
        CHECK_INT(sb_cache_record_parse(texts[i], strlen(texts[i]), &read, &err), -1);
    }
}

/* Names are for people only: they are cut, not refused. */
static void test_long_names(void) {
    struct sb_cache_record record = sample(), read;
    free(record.name);
    record.name = sb_alloc(5001);
    memset(record.name, 'n', 5000);
    sb_autobuf struct sb_buf text = {0};
    print(&record, &text);
    if (CHECK_INT(sb_cache_record_parse(text.data, text.len, &read, &err), 0))
        CHECK_INT(strlen(read.name), 256);
    sb_cache_record_free(&read);
    sb_cache_record_free(&record);
}

int main(void) {
    test_round_trip();
    test_odd_lists();
    test_bytes();
    test_tags();
    test_renew();
    test_config();
    test_refused();
    test_no_manifest();
    test_long_names();
    return test_done();
}
