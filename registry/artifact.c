#include "registry/artifact.h"

#include "base/json.h"
#include "layers/descriptor.h"

enum {
    BLOBS_LIMIT = 100,
    BLOB_LIMIT = 32 << 20, /* bytes: each is in memory once */
};

typedef int carry_blob(struct sb_remote *remote, struct sb_store *store,
                       const struct sb_descriptor *blob, struct sb_error *err);

static int pull_blob(struct sb_remote *remote, struct sb_store *store,
                     const struct sb_descriptor *blob, struct sb_error *err) {
    sb_autobuf struct sb_buf bytes = {0};
    if (sb_blob_has(store, &blob->digest, blob->size))
        return 0;
    return sb_remote_blob_read(remote, blob, BLOB_LIMIT, &bytes, err) < 0
               ? -1
               : sb_blob_put(store, sb_buf_text(&bytes), bytes.len, NULL, err);
}

static int push_blob(struct sb_remote *remote, struct sb_store *store,
                     const struct sb_descriptor *blob, struct sb_error *err) {
    sb_autobuf struct sb_buf bytes = {0};
    struct sb_digest digest;
    int there = sb_remote_blob_head(remote, blob, err);
    if (there != 0)
        return there < 0 ? -1 : 0;
    return sb_blob_read(store, blob, BLOB_LIMIT, &bytes, err) < 0
               ? -1
               : sb_remote_blob_put_bytes(remote, sb_buf_text(&bytes), bytes.len, &digest, err);
}

static int carry_one(struct sb_remote *remote, struct sb_store *store, const json_t *value,
                     carry_blob *carry, struct sb_error *err) {
    struct sb_descriptor blob;
    if (sb_descriptor_parse(value, &blob, NULL) < 0 || blob.size > BLOB_LIMIT)
        return 0;
    return carry(remote, store, &blob, err) < 0 ? -1 : 1;
}

/* The config and the layers, whatever they are. 0: it can't be carried. */
static int carry_all(struct sb_remote *remote, struct sb_store *store, const struct sb_buf *text,
                     carry_blob *carry, struct sb_error *err) {
    sb_autojson json_t *manifest = sb_json_parse(sb_buf_text(text), text->len, NULL);
    const json_t *layers = json_object_get(manifest, "layers");
    size_t n = json_array_size(layers);
    if (n > BLOBS_LIMIT)
        return 0;
    int rc = carry_one(remote, store, json_object_get(manifest, "config"), carry, err);
    for (size_t i = 0; i < n && rc > 0; i++)
        rc = carry_one(remote, store, json_array_get(layers, i), carry, err);
    return rc;
}

static bool is_manifest(const struct sb_descriptor *descriptor) {
    return sb_media_kind(descriptor->media_type) == SB_MEDIA_KIND_MANIFEST &&
           descriptor->size <= SB_MANIFEST_LIMIT;
}

int sb_artifact_pull(struct sb_remote *remote, struct sb_store *store,
                     const struct sb_descriptor *descriptor, struct sb_error *err) {
    struct sb_manifest manifest;
    struct sb_error own = {0};
    if (!is_manifest(descriptor))
        return 0;
    if (sb_remote_manifest_get(remote, sb_digest_text(&descriptor->digest).text, &manifest, &own) <
        0) {
        if (own.code == SB_E_NOT_FOUND)
            return 0;
        *err = own;
        return -1;
    }
    int rc = carry_all(remote, store, &manifest.bytes, pull_blob, err);
    if (rc > 0 &&
        sb_blob_put(store, sb_buf_text(&manifest.bytes), manifest.bytes.len, NULL, err) < 0)
        rc = -1;
    sb_manifest_free(&manifest);
    return rc;
}

int sb_artifact_push(struct sb_remote *remote, struct sb_store *store,
                     const struct sb_descriptor *descriptor, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (!is_manifest(descriptor) ||
        sb_blob_read(store, descriptor, SB_MANIFEST_LIMIT, &text, NULL) < 0)
        return 0;
    int rc = carry_all(remote, store, &text, push_blob, err);
    if (rc <= 0)
        return rc;
    return sb_remote_manifest_put(remote, sb_digest_text(&descriptor->digest).text,
                                  descriptor->media_type, text.data, text.len, err) < 0
               ? -1
               : 1;
}
