/*
 * Any bytes as index, manifest and config of an image (tests/fuzz/documents.h): refused, or an
 * image that can be saved, and is the same when it is loaded again. The store is this file's.
 */
#include "layers/image.h"
#include "layers/store_private.h"
#include "tests/fuzz/documents.h"

static struct documents documents;
static struct document saved[2]; /* config and manifest */

static int get(const struct sb_descriptor *descriptor, size_t limit, struct sb_buf *out,
               struct sb_error *err) {
    const struct document *found = NULL;
    for (size_t i = 0; i < documents.n + 2; i++) {
        const struct document *d = i < documents.n ? &documents.v[i] : &saved[i - documents.n];
        if (sb_digest_equal(&d->digest, &descriptor->digest))
            found = d;
    }
    if (!found || found->text.len != descriptor->size || found->text.len > limit)
        return sb_fail(err, SB_E_NOT_FOUND, "no such blob");
    sb_buf_add(out, sb_buf_text(&found->text), found->text.len);
    return 0;
}

int sb_blob_peek(struct sb_store *store, const struct sb_descriptor *descriptor, size_t limit,
                 struct sb_buf *out, struct sb_error *err) {
    (void)store;
    return get(descriptor, limit, out, err);
}

int sb_blob_put(struct sb_store *store, const void *data, size_t len, struct sb_digest *out_digest,
                struct sb_error *err) {
    (void)store;
    (void)err;
    struct document *d = saved[0].text.len ? &saved[1] : &saved[0];
    *out_digest = d->digest = sb_digest_of(data, len);
    sb_buf_reset(&d->text);
    sb_buf_add(&d->text, data, len);
    return 0;
}

static void save_and_load(struct sb_image *image) {
    struct sb_error err = {0};
    struct sb_image again;
    sb_buf_reset(&saved[0].text);
    if (sb_image_save(NULL, image, 1577836800, &err) < 0) {
        fuzz_check_error(&err);
        return;
    }
    struct sb_digest first = image->descriptor.digest;
    FUZZ_CHECK(sb_image_peek(NULL, &image->descriptor, &again, &err) == 0);
    FUZZ_CHECK(again.layer_count == image->layer_count);
    sb_buf_reset(&saved[0].text);
    FUZZ_CHECK(sb_image_save(NULL, &again, 1577836800, &err) == 0);
    FUZZ_CHECK(sb_digest_equal(&first, &again.descriptor.digest));
    sb_image_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const types[] = {SB_MEDIA_MANIFEST, SB_MEDIA_INDEX, SB_MEDIA_DOCKER_MANIFEST,
                                        SB_MEDIA_DOCKER_LIST, SB_MEDIA_CONFIG};
    struct fuzz_parts parts = fuzz_parts(data, size);
    const char *type = types[fuzz_choose(&parts, 5)];
    documents_read(&parts, &documents, NULL);
    struct sb_error err = {0};
    struct sb_image image;
    if (documents.n > 0) {
        struct sb_descriptor top = {type, documents.v[0].digest, documents.v[0].text.len};
        if (sb_image_peek(NULL, &top, &image, &err) < 0) {
            fuzz_check_error(&err);
        } else {
            save_and_load(&image);
            sb_image_free(&image);
        }
    }
    documents_free(&documents);
    return 0;
}
