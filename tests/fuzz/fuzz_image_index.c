/* Any bytes as an image index: what is accepted is written and read back as the same, whatever is
 * put into it and taken out; what is no image of a platform stays. */
#include "base/json.h"
#include "layers/descriptor.h"
#include "layers/image_index.h"
#include "tests/fuzz/fuzz.h"

static struct sb_descriptor describe(const struct sb_buf *bytes, const char *type) {
    return (struct sb_descriptor){.media_type = type,
                                  .digest = sb_digest_of(sb_buf_text(bytes), bytes->len),
                                  .size = bytes->len};
}

static bool parse(const struct sb_buf *bytes, const char *type, struct sb_image_index *out) {
    struct sb_error err = {0};
    struct sb_descriptor descriptor = describe(bytes, type);
    if (sb_image_index_parse(sb_buf_text(bytes), bytes->len, &descriptor, out, &err) == 0)
        return true;
    fuzz_check_error(&err);
    return false;
}

/* Written, read and written again: the same bytes, as far as they are not too many. */
static void check_stable(struct sb_image_index *index) {
    sb_autobuf struct sb_buf once = {0}, twice = {0};
    struct sb_image_index again;
    struct sb_error err = {0};
    if (sb_image_index_write(index, &once, &err) < 0) {
        fuzz_check_error(&err);
        return;
    }
    FUZZ_CHECK(parse(&once, index->descriptor.media_type, &again));
    FUZZ_CHECK(again.n == index->n);
    FUZZ_CHECK(sb_image_index_write(&again, &twice, &err) == 0);
    FUZZ_CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    sb_image_index_free(&again);
}

static size_t count_others(const struct sb_image_index *index) {
    size_t n = 0;
    for (size_t i = 0; i < index->n; i++)
        n += !index->v[i].platform.os;
    return n;
}

static void check_changes(struct sb_image_index *index) {
    static const char text[] = "another image";
    struct sb_platform amd64 = {.os = (char *)"linux", .architecture = (char *)"amd64"};
    const struct sb_descriptor image = {
        .media_type = SB_MEDIA_MANIFEST, .digest = sb_digest_of(text, 7), .size = 7};
    bool there = sb_image_index_find(index, &amd64);
    size_t before = count_others(index);
    FUZZ_CHECK(sb_image_index_put_descriptor(index, &image, &amd64, NULL));
    FUZZ_CHECK(!sb_image_index_put_descriptor(index, &image, &amd64, NULL));
    FUZZ_CHECK(sb_image_index_find(index, &amd64) != NULL);
    FUZZ_CHECK(there || count_others(index) == before); /* only what was said of the one before */
    check_stable(index);
    FUZZ_CHECK(sb_image_index_remove(index, &amd64) && !sb_image_index_find(index, &amd64));
    FUZZ_CHECK(!sb_image_index_remove(index, &amd64));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sb_autobuf struct sb_buf bytes = {0};
    struct sb_image_index index;
    sb_buf_add(&bytes, data, size);
    bool docker =
        size > 0 && memmem(data, size, SB_MEDIA_DOCKER_LIST, strlen(SB_MEDIA_DOCKER_LIST));
    if (!parse(&bytes, docker ? SB_MEDIA_DOCKER_LIST : SB_MEDIA_INDEX, &index))
        return 0;
    sb_autofree char *platforms = sb_image_index_platforms(&index);
    FUZZ_CHECK(platforms != NULL);
    sb_autobuf struct sb_buf same = {0};
    FUZZ_CHECK(sb_image_index_write(&index, &same, NULL) == 0);
    FUZZ_CHECK(same.len == bytes.len && memcmp(same.data, bytes.data, same.len) == 0);
    check_stable(&index);
    check_changes(&index);
    sb_image_index_free(&index);
    return 0;
}
