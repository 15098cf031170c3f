#include "registry/rewrite.h"

#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "layers/convert.h"
#include "layers/descriptor.h"

enum sb_compression sb_rewrite_compression(const char *media_type,
                                           const struct sb_push_options *options) {
    if (options->format == SB_PUSH_FORMAT_DOCKER ||
        options->compression == SB_PUSH_COMPRESSION_GZIP)
        return SB_COMPRESSION_GZIP;
    if (options->compression == SB_PUSH_COMPRESSION_ZSTD)
        return SB_COMPRESSION_ZSTD;
    return sb_layer_compression(media_type);
}

/* Which of the two a document is, whatever its layers are. */
static enum sb_push_format format_of(const json_t *manifest) {
    const char *type = sb_json_string(manifest, "mediaType", SB_MEDIA_MANIFEST);
    return !strcmp(type, SB_MEDIA_DOCKER_MANIFEST) ? SB_PUSH_FORMAT_DOCKER : SB_PUSH_FORMAT_OCI;
}

bool sb_rewrite_needed(const json_t *manifest, const struct sb_push_options *options) {
    if (options->format != SB_PUSH_FORMAT_KEEP && options->format != format_of(manifest))
        return true;
    size_t i;
    json_t *layer;
    json_array_foreach (json_object_get(manifest, "layers"), i, layer) {
        const char *type = sb_json_string(layer, "mediaType", "");
        if (sb_layer_compression(type) != sb_rewrite_compression(type, options))
            return true;
    }
    return false;
}

static const char *layer_type(const char *media_type, enum sb_push_format format) {
    return format == SB_PUSH_FORMAT_DOCKER ? SB_MEDIA_DOCKER_LAYER : sb_media_oci(media_type);
}

static json_t *rewrite_layers(const json_t *manifest, const struct sb_descriptor *layers,
                              enum sb_push_format format) {
    json_t *list = json_deep_copy(json_object_get(manifest, "layers")), *layer;
    size_t i;
    json_array_foreach (list, i, layer) {
        json_object_set_new(layer, "mediaType",
                            json_string(layer_type(layers[i].media_type, format)));
        json_object_set_new(layer, "digest", json_string(sb_digest_text(&layers[i].digest).text));
        json_object_set_new(layer, "size", json_integer((json_int_t)layers[i].size));
        if (format == SB_PUSH_FORMAT_DOCKER)
            json_object_del(layer, "annotations");
    }
    return list;
}

int sb_rewrite_manifest(const json_t *manifest, const struct sb_descriptor *layers,
                        enum sb_push_format format, struct sb_buf *out, const char **out_media_type,
                        struct sb_error *err) {
    if (format == SB_PUSH_FORMAT_KEEP)
        format = format_of(manifest);
    bool docker = format == SB_PUSH_FORMAT_DOCKER;
    *out_media_type = docker ? SB_MEDIA_DOCKER_MANIFEST : SB_MEDIA_MANIFEST;
    json_t *config = json_deep_copy(json_object_get(manifest, "config"));
    json_object_set_new(config, "mediaType",
                        json_string(docker ? SB_MEDIA_DOCKER_CONFIG : SB_MEDIA_CONFIG));
    sb_autojson json_t *result =
        json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", *out_media_type,
                  "config", config, "layers", rewrite_layers(manifest, layers, format));
    json_t *annotations = json_object_get(manifest, "annotations");
    if (annotations && !docker)
        json_object_set(result, "annotations", annotations);
    sb_json_write(result, out);
    if (out->len > SB_MANIFEST_LIMIT)
        return sb_fail(err, SB_E_FAILED, "the manifest would have %zu bytes, at most %u can be",
                       out->len, SB_MANIFEST_LIMIT);
    return 0;
}

/* ---- in the store ---- */

static json_t *read_manifest(struct sb_store *store, const struct sb_descriptor *descriptor,
                             struct sb_error *err) {
    sb_autobuf struct sb_buf bytes = {0};
    if (sb_blob_read(store, descriptor, SB_MANIFEST_LIMIT, &bytes, err) < 0)
        return NULL;
    return sb_json_parse(sb_buf_text(&bytes), bytes.len, err);
}

static int convert_layers(struct sb_store *store, const struct sb_push_options *options,
                          struct sb_image *image, struct sb_error *err) {
    for (size_t i = 0; i < image->layer_count; i++) {
        struct sb_layer *layer = &image->layers[i].layer;
        const struct sb_layer before = *layer;
        const char *type = before.descriptor.media_type;
        enum sb_compression wanted = sb_rewrite_compression(type, options);
        if (wanted != sb_layer_compression(type) &&
            sb_layer_convert(store, &before, wanted, layer, err) < 0)
            return -1;
    }
    return 0;
}

int sb_push_form(struct sb_store *store, const struct sb_push_options *options,
                 struct sb_image *image, struct sb_error *err) {
    sb_autojson json_t *manifest = read_manifest(store, &image->descriptor, err);
    if (!manifest)
        return -1;
    if (!sb_rewrite_needed(manifest, options))
        return 0;
    if (convert_layers(store, options, image, err) < 0)
        return -1;
    sb_autofree struct sb_descriptor *layers = sb_alloc((image->layer_count + 1) * sizeof *layers);
    for (size_t i = 0; i < image->layer_count; i++)
        layers[i] = image->layers[i].layer.descriptor;
    sb_autobuf struct sb_buf bytes = {0};
    struct sb_descriptor *out = &image->descriptor;
    if (sb_rewrite_manifest(manifest, layers, options->format, &bytes, &out->media_type, err) < 0)
        return -1;
    out->size = bytes.len;
    return sb_blob_put(store, bytes.data, bytes.len, &out->digest, err);
}
