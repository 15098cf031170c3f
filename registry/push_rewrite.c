#include "registry/push_private.h"

#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "layers/convert.h"
#include "layers/descriptor.h"

enum sb_compression sb_rewrite_compression(const char *media_type,
                                           const struct sb_push_options *options) {
    enum sb_compression its = sb_layer_compression(media_type);
    /* What may not be distributed goes as it is, where Docker's format can say so. */
    if (sb_media_foreign(media_type) &&
        (options->format != SB_PUSH_FORMAT_DOCKER || its != SB_COMPRESSION_ZSTD))
        return its;
    if (options->format == SB_PUSH_FORMAT_DOCKER ||
        options->compression == SB_PUSH_COMPRESSION_GZIP)
        return SB_COMPRESSION_GZIP;
    if (options->compression == SB_PUSH_COMPRESSION_ZSTD)
        return SB_COMPRESSION_ZSTD;
    return its;
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

/* What annotations say of a layer's content holds for it in any blob; all others may tell of the
 * blob: tables of contents, checksums (zstd:chunked, eStargz, Nydus, …). */
static bool is_of_content(const char *annotation) {
    static const char *const prefixes[] = {"dev.sbuild.", "org.opencontainers.image."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (!strncmp(annotation, prefixes[i], strlen(prefixes[i])))
            return true;
    return false;
}

static json_t *annotations_of_content(const json_t *annotations) {
    json_t *kept = json_object(), *value;
    const char *key;
    json_object_foreach ((json_t *)annotations, key, value)
        if (is_of_content(key))
            json_object_set(kept, key, value);
    return kept;
}

/* The same blob: all stays that the format knows. Another: nothing of the old one's. */
static json_t *rewrite_layer(const json_t *before, const struct sb_descriptor *now,
                             enum sb_push_format format) {
    bool docker = format == SB_PUSH_FORMAT_DOCKER;
    bool same = !strcmp(sb_json_string(before, "digest", ""), sb_digest_text(&now->digest).text);
    json_t *layer = same && !docker ? json_deep_copy(before) : json_object();
    const char *type = docker ? sb_media_docker(now->media_type) : sb_media_oci(now->media_type);
    json_object_set_new(layer, "mediaType", json_string(type));
    json_object_set_new(layer, "digest", json_string(sb_digest_text(&now->digest).text));
    json_object_set_new(layer, "size", json_integer((json_int_t)now->size));
    json_t *urls = json_object_get(before, "urls");
    if (docker && same && urls)
        json_object_set(layer, "urls", urls);
    if (!docker && !same) {
        json_t *kept = annotations_of_content(json_object_get(before, "annotations"));
        if (json_object_size(kept) > 0)
            json_object_set(layer, "annotations", kept);
        json_decref(kept);
    }
    return layer;
}

static json_t *rewrite_layers(const json_t *manifest, const struct sb_descriptor *layers,
                              enum sb_push_format format) {
    json_t *list = json_array(), *layer;
    size_t i;
    json_array_foreach (json_object_get(manifest, "layers"), i, layer)
        json_array_append_new(list, rewrite_layer(layer, &layers[i], format));
    return list;
}

/* The same bytes under another type. */
static json_t *rewrite_config(const json_t *before, bool docker) {
    json_t *config = docker ? json_object() : json_deep_copy(before);
    json_object_set_new(config, "mediaType",
                        json_string(docker ? SB_MEDIA_DOCKER_CONFIG : SB_MEDIA_CONFIG));
    json_object_set(config, "digest", json_object_get(before, "digest"));
    json_object_set(config, "size", json_object_get(before, "size"));
    return config;
}

int sb_rewrite_manifest(const json_t *manifest, const struct sb_descriptor *layers,
                        enum sb_push_format format, struct sb_buf *out, const char **out_media_type,
                        struct sb_error *err) {
    if (format == SB_PUSH_FORMAT_KEEP)
        format = format_of(manifest);
    bool docker = format == SB_PUSH_FORMAT_DOCKER;
    *out_media_type = docker ? SB_MEDIA_DOCKER_MANIFEST : SB_MEDIA_MANIFEST;
    sb_autojson json_t *result =
        json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", *out_media_type,
                  "config", rewrite_config(json_object_get(manifest, "config"), docker), "layers",
                  rewrite_layers(manifest, layers, format));
    static const char *const others[] = {"artifactType", "subject", "annotations"};
    for (size_t i = 0; i < sizeof others / sizeof *others && !docker; i++) {
        json_t *value = json_object_get(manifest, others[i]);
        if (value && !json_is_null(value))
            json_object_set(result, others[i], value);
    }
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

/* The layers as they go, in order; false when one of them has yet to be converted. */
static bool sent_layers(struct sb_store *store, const struct sb_push_options *options,
                        const struct sb_image *image, struct sb_descriptor *out) {
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct sb_layer *layer = &image->layers[i].layer;
        const char *type = layer->descriptor.media_type;
        enum sb_compression wanted = sb_rewrite_compression(type, options);
        struct sb_layer converted;
        out[i] = layer->descriptor;
        if (wanted == sb_layer_compression(type))
            continue;
        if (!sb_layer_find_converted(store, layer, wanted, &converted))
            return false;
        out[i] = converted.descriptor;
    }
    return true;
}

int sb_rewrite(struct sb_store *store, const struct sb_push_options *options,
               const struct sb_image *image, struct sb_rewritten *out, struct sb_error *err) {
    struct sb_buf *bytes = &out->bytes;
    sb_buf_reset(bytes);
    if (sb_blob_read(store, &image->descriptor, SB_MANIFEST_LIMIT, bytes, err) < 0)
        return -1;
    out->descriptor = image->descriptor;
    sb_autojson json_t *manifest = sb_json_parse(sb_buf_text(bytes), bytes->len, err);
    if (!manifest)
        return -1;
    if (!sb_rewrite_needed(manifest, options))
        return 1;
    sb_buf_reset(bytes);
    sb_autofree struct sb_descriptor *layers = sb_alloc((image->layer_count + 1) * sizeof *layers);
    if (!sent_layers(store, options, image, layers))
        return 0;
    if (sb_rewrite_manifest(manifest, layers, options->format, bytes, &out->descriptor.media_type,
                            err) < 0)
        return -1;
    out->descriptor.size = bytes->len;
    out->descriptor.digest = sb_digest_of(bytes->data, bytes->len);
    return 1;
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
