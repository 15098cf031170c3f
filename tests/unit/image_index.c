/* Image indexes: what is put, found, taken out, kept as it is; bytes; what is refused. */
#include "layers/image_index.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "layers/descriptor.h"
#include "tests/unit/test.h"

static struct sb_store *store;

static struct sb_image make_image(const char *architecture, const char *variant, const char *what) {
    struct sb_image image;
    struct sb_error err = {0};
    sb_image_init(&image, architecture, variant);
    json_object_set_new(image.config, "author", json_string(what));
    CHECK_INT(sb_image_save(store, &image, 0, &err), 0);
    return image;
}

static char *bytes_of(struct sb_image_index *index) {
    struct sb_buf text = {0};
    struct sb_error err = {0};
    CHECK_INT(sb_image_index_write(index, &text, &err), 0);
    return sb_buf_steal(&text);
}

static void check_platforms(const struct sb_image_index *index, const char *expected) {
    sb_autofree char *platforms = sb_image_index_platforms(index);
    CHECK_STR(platforms, expected);
}

/* The same bytes in whatever order it came; read back; each platform loaded through it. */
static void test_put(void) {
    struct sb_error err = {0};
    struct sb_image amd64 = make_image("amd64", NULL, "a"), arm64 = make_image("arm64", "v8", "b");
    struct sb_image_index one = {0}, other = {0}, read;
    CHECK_INT(sb_image_index_put(&one, &amd64, &err), 1);
    CHECK_INT(sb_image_index_put(&one, &arm64, &err), 1);
    CHECK_INT(sb_image_index_put(&one, &arm64, &err), 0);
    CHECK_INT(sb_image_index_put(&other, &arm64, &err), 1);
    CHECK_INT(sb_image_index_put(&other, &amd64, &err), 1);
    sb_autofree char *a = bytes_of(&one), *b = bytes_of(&other);
    sb_autofree char *expected = sb_format(
        "{\"schemaVersion\":2,\"mediaType\":\"" SB_MEDIA_INDEX "\",\"manifests\":[{\"mediaType\":"
        "\"" SB_MEDIA_MANIFEST "\",\"digest\":\"%s\",\"size\":%llu,\"platform\":{\"architecture\":"
        "\"amd64\",\"os\":\"linux\"}},{\"mediaType\":\"" SB_MEDIA_MANIFEST "\",\"digest\":\"%s\","
        "\"size\":%llu,\"platform\":{\"architecture\":\"arm64\",\"os\":\"linux\",\"variant\":"
        "\"v8\"}}]}",
        sb_digest_text(&amd64.descriptor.digest).text, (unsigned long long)amd64.descriptor.size,
        sb_digest_text(&arm64.descriptor.digest).text, (unsigned long long)arm64.descriptor.size);
    CHECK_STR(a, expected);
    CHECK_STR(b, expected);

    CHECK_INT(sb_image_index_save(store, &one, &err), 0);
    CHECK_INT(sb_image_index_load(store, &one.descriptor, &read, &err), 0);
    check_platforms(&read, "linux/amd64, linux/arm64");
    sb_autofree char *again = bytes_of(&read);
    CHECK_STR(again, expected);
    static const char *const names[] = {"linux/arm64", "linux/arm64/v8", "linux/amd64"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sb_autoplatform struct sb_platform platform;
        struct sb_image image;
        CHECK_INT(sb_platform_parse(names[i], &platform, &err), 0);
        CHECK(sb_image_index_find(&read, &platform) != NULL);
        CHECK_INT(sb_image_load_for(store, &one.descriptor, &platform, &image, &err), 0);
        CHECK_STR(sb_json_string(image.config, "author", ""), i < 2 ? "b" : "a");
        sb_image_free(&image);
    }
    sb_image_index_free(&read);

    struct sb_image newer = make_image("arm64", NULL, "newer"); /* means v8 */
    CHECK_INT(sb_image_index_put(&one, &newer, &err), 1);
    check_platforms(&one, "linux/amd64, linux/arm64");
    CHECK_INT(one.n, 2);
    sb_autoplatform struct sb_platform arm;
    CHECK_INT(sb_platform_parse("linux/arm64", &arm, &err), 0);
    CHECK(sb_digest_equal(&sb_image_index_find(&one, &arm)->descriptor.digest,
                          &newer.descriptor.digest));
    CHECK(sb_image_index_remove(&one, &arm) && !sb_image_index_remove(&one, &arm));
    check_platforms(&one, "linux/amd64");
    json_object_del(newer.config, "architecture");
    CHECK_INT(sb_image_index_put(&one, &newer, &err), -1);
    sb_image_index_free(&one);
    sb_image_index_free(&other);
    sb_image_free(&amd64);
    sb_image_free(&arm64);
    sb_image_free(&newer);
}

/* ---- what others made ---- */

#define DIGEST(c)                                                                                  \
    "sha256:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c  \
        c c c c c c c c c c c c c c c c c c c c c c
#define ENTRY(c, more)                                                                             \
    "{\"mediaType\":\"" SB_MEDIA_MANIFEST "\",\"digest\":\"" DIGEST(c) "\",\"size\":7" more "}"
#define PLATFORM(os, architecture, more)                                                           \
    ",\"platform\":{\"architecture\":\"" architecture "\",\"os\":\"" os "\"" more "}"
#define ATTESTATION(c, about)                                                                      \
    ENTRY(c,                                                                                       \
          ",\"annotations\":{\"vnd.docker.reference.digest\":\"" DIGEST(                           \
              about) "\",\"vnd.docker.reference.type\":\"attestation-manifest\"}" PLATFORM("unkno" \
                                                                                           "wn",   \
                                                                                           "unkno" \
                                                                                           "wn",   \
                                                                                           ""))
#define INDEX(entries, more)                                                                       \
    "{\"schemaVersion\":2,\"mediaType\":\"" SB_MEDIA_INDEX "\",\"manifests\":[" entries "]" more "}"

static int parse(const char *text, struct sb_image_index *out, struct sb_error *err) {
    struct sb_descriptor descriptor = {.media_type = SB_MEDIA_INDEX, .size = strlen(text)};
    descriptor.digest = sb_digest_of(text, strlen(text));
    *err = (struct sb_error){0};
    return sb_image_index_parse(text, strlen(text), &descriptor, out, err);
}

static const char kept[] = INDEX(
    ENTRY("a", PLATFORM("linux", "amd64", "")) "," ENTRY(
        "b",
        PLATFORM(
            "linux", "arm64",
            "")) "," ATTESTATION("c",
                                 "a") "," ATTESTATION("d",
                                                      "b") "," ENTRY("e",
                                                                     PLATFORM(
                                                                         "windows", "amd64",
                                                                         ",\"os.version\":\"10.0."
                                                                         "1\"")) ",{\"mediaType\":"
                                                                                 "\"application/"
                                                                                 "x-new\","
                                                                                 "\"digest\":"
                                                                                 "\"sha512:00\","
                                                                                 "\"size\":1,\"x\":"
                                                                                 "{\"y\":null}}",
    ",\"annotations\":{\"a\":\"1\"},\"x-unknown\":[1]");

/* What is not an image of a platform stays, byte for byte; attestations go with their image. */
static void test_foreign(void) {
    struct sb_error err;
    struct sb_image_index index;
    CHECK_INT(parse(kept, &index, &err), 0);
    check_platforms(&index, "linux/amd64, linux/arm64");
    sb_autofree char *same = bytes_of(&index);
    CHECK_STR(same, kept);

    struct sb_image arm64 = make_image("arm64", "v8", "foreign");
    CHECK_INT(sb_image_index_put(&index, &arm64, &err), 1);
    sb_autofree char *text = bytes_of(&index);
    CHECK(strstr(text, DIGEST("c")) && strstr(text, DIGEST("e")) && strstr(text, "sha512:00"));
    CHECK(!strstr(text, DIGEST("b")) && !strstr(text, DIGEST("d")));
    CHECK(strstr(text, "\"x-unknown\":[1]") != NULL);
    sb_image_free(&arm64);
    sb_image_index_free(&index);
}

/* As another tool wrote it: the bytes stay, until something changes. */
static void test_unchanged(void) {
    static const char text[] =
        "{ \"manifests\": [" ENTRY("a", PLATFORM("linux", "arm64", "")) ",\n" ENTRY(
            "b", PLATFORM("linux", "amd64", "")) "], \"schemaVersion\": 2 }\n";
    struct sb_error err;
    struct sb_image_index index, copy;
    CHECK_INT(parse(text, &index, &err), 0);
    struct sb_descriptor a = index.v[0].descriptor, before = index.descriptor;
    sb_autoplatform struct sb_platform arm64, amd64;
    CHECK_INT(sb_platform_parse("linux/arm64/v8", &arm64, &err), 0);
    CHECK_INT(sb_platform_parse("linux/amd64", &amd64, &err), 0);
    CHECK(!sb_image_index_put_descriptor(&index, &a, &arm64, NULL));
    sb_image_index_copy(&copy, &index);
    sb_autofree char *same = bytes_of(&index), *copied = bytes_of(&copy);
    CHECK_STR(same, text);
    CHECK_STR(copied, text);
    CHECK(sb_digest_equal(&copy.descriptor.digest, &before.digest));
    CHECK(sb_image_index_put_descriptor(&copy, &a, &amd64, NULL));
    sb_autofree char *changed = bytes_of(&copy);
    CHECK(strncmp(changed, "{\"schemaVersion\":2,\"mediaType\":", 30) == 0);
    sb_image_index_free(&copy);
    sb_image_index_free(&index);
}

/* The same image for two platforms: what is said of it stays as long as it stands under one. */
static void test_shared_attestation(void) {
    static const char text[] =
        INDEX(ENTRY("a", PLATFORM("linux", "amd64", "")) "," ENTRY(
                  "a", PLATFORM("linux", "386", "")) "," ATTESTATION("c", "a"),
              "");
    struct sb_error err;
    struct sb_image_index index;
    sb_autoplatform struct sb_platform amd64, i386;
    CHECK_INT(sb_platform_parse("linux/amd64", &amd64, &err), 0);
    CHECK_INT(sb_platform_parse("linux/386", &i386, &err), 0);
    CHECK_INT(parse(text, &index, &err), 0);
    CHECK(sb_image_index_remove(&index, &amd64));
    CHECK_INT(index.n, 2);
    CHECK(sb_image_index_remove(&index, &i386));
    CHECK_INT(index.n, 0);
    sb_image_index_free(&index);
}

/* One that stood there without a platform is not there twice; Docker's list stays Docker's. */
static void test_forms(void) {
    struct sb_error err;
    struct sb_image_index index;
    sb_autoplatform struct sb_platform amd64;
    CHECK_INT(sb_platform_parse("linux/amd64", &amd64, &err), 0);
    CHECK_INT(parse(INDEX(ENTRY("a", ""), ""), &index, &err), 0);
    struct sb_descriptor d = index.v[0].descriptor;
    CHECK(sb_image_index_put_descriptor(&index, &d, &amd64, NULL));
    CHECK_INT(index.n, 1);
    sb_image_index_free(&index);

    d.media_type = SB_MEDIA_DOCKER_MANIFEST;
    CHECK(sb_image_index_put_descriptor(&index, &d, &amd64, NULL));
    sb_autofree char *docker = bytes_of(&index);
    CHECK_STR(index.descriptor.media_type, SB_MEDIA_DOCKER_LIST);
    CHECK(strstr(docker, SB_MEDIA_DOCKER_LIST) != NULL);
    sb_image_index_free(&index);
}

static void test_refused(void) {
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"[]", "is not a JSON object"},
        {"{", "line 1"},
        {"{\"schemaVersion\":1,\"manifests\":[]}", "schemaVersion is not 2"},
        {INDEX("", ",\"layers\":[]"), "an index and an image at once"},
        {"{\"schemaVersion\":2,\"manifests\":{}}", "\"manifests\" is not an array"},
        {INDEX("1", ""), "manifests[0]"},
        {"{\"schemaVersion\":2,\"mediaType\":\"" SB_MEDIA_MANIFEST "\",\"manifests\":[]}",
         "mediaType"},
    };
    struct sb_image_index index;
    struct sb_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!CHECK_INT(parse(bad[i].text, &index, &err), -1) ||
            !CHECK(strstr(err.message, bad[i].says) != NULL))
            printf("    %s: %s\n", bad[i].text, err.message);
    sb_autobuf struct sb_buf many = {0};
    for (int i = 0; i <= SB_INDEX_ENTRY_LIMIT; i++)
        sb_buf_addf(&many, "%s{}", i ? "," : "");
    sb_autofree char *text = sb_format(INDEX("%s", ""), sb_buf_text(&many));
    CHECK_INT(parse(text, &index, &err), -1);
    CHECK(strstr(err.message, "1001 entries") != NULL);
    struct sb_descriptor manifest = {.media_type = SB_MEDIA_MANIFEST};
    CHECK_INT(sb_image_index_parse("{}", 2, &manifest, &index, &err), -1);
    CHECK_INT(parse("{\"schemaVersion\":2,\"manifests\":null}", &index, &err), 0);
    sb_image_index_free(&index);
}

/* ---- platforms ---- */

static void test_platform(void) {
    static const struct {
        const char *json, *text; /* NULL: none */
    } cases[] = {
        {"{\"os\":\"linux\",\"architecture\":\"amd64\"}", "linux/amd64"},
        {"{\"os\":\"linux\",\"architecture\":\"x86_64\"}", "linux/amd64"},
        {"{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"v3\"}", "linux/amd64/v3"},
        {"{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}", "linux/arm64"},
        {"{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"8\"}", "linux/arm64"},
        {"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}", "linux/arm/v7"},
        {"{\"os\":\"linux\",\"architecture\":\"armhf\"}", "linux/arm/v7"},
        {"{\"os\":\"linux\",\"architecture\":\"arm\"}", "linux/arm"},
        {"{\"os\":\"unknown\",\"architecture\":\"unknown\"}", NULL},
        {"{\"os\":\"linux\"}", NULL},
        {"{\"os\":\"linux\",\"architecture\":\"\"}", NULL},
        {"{\"os\":\"linux\",\"architecture\":\"a b\"}", NULL},
        {"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"\\n\"}", NULL},
        {"[]", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autojson json_t *value = sb_json_parse(cases[i].json, strlen(cases[i].json), NULL);
        sb_autoplatform struct sb_platform platform, again;
        bool read = sb_platform_read(value, &platform);
        sb_autofree char *text = read ? sb_platform_text(&platform) : NULL;
        if (!CHECK_STR(text, cases[i].text))
            printf("    %s\n", cases[i].json);
        sb_autojson json_t *written = read ? sb_platform_json(&platform) : NULL;
        CHECK_INT(sb_platform_read(written, &again), read);
        CHECK(!read || sb_platform_compare(&platform, &again) == 0);
    }
}

int main(void) {
    char template[] = "/var/tmp/sb-index-XXXXXX";
    struct sb_error err = {0};
    if (!mkdtemp(template) || sb_store_open(template, &store, &err) < 0) {
        printf("%s\n", err.message);
        return 1;
    }
    test_put();
    test_foreign();
    test_unchanged();
    test_shared_attestation();
    test_forms();
    test_refused();
    test_platform();
    sb_store_close(store);
    CHECK_INT(sb_tree_remove(AT_FDCWD, template, &err), 0);
    return test_done();
}
