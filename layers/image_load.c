#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/memory.h"
#include "layers/descriptor.h"
#include "layers/image_private.h"
#include "layers/origin.h"
#include "layers/store_private.h"

#define INDEX_DEPTH_LIMIT 2

typedef int read_blob(struct sb_store *store, const struct sb_descriptor *descriptor, size_t limit,
                      struct sb_buf *out, struct sb_error *err);

static json_t *read_json(struct sb_store *store, read_blob *read,
                         const struct sb_descriptor *descriptor, size_t limit,
                         struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (read(store, descriptor, limit, &text, err) < 0)
        return NULL;
    sb_autojson json_t *value = sb_json_parse(text.data, text.len, err);
    if (!json_is_object(value)) {
        if (value)
            sb_fail(err, SB_E_INTEGRITY, "is not a JSON object");
        sb_error_context(err, "the blob %s", sb_digest_text(&descriptor->digest).text);
        return NULL;
    }
    return sb_steal(value);
}

/* ---- the config: every value that the specification names has the type it should ---- */

enum type {
    TEXT,
    TEXTS,
    TEXT_MAP,
    MAP,
};

static bool all_strings(const json_t *value) {
    size_t i;
    json_t *item;
    json_array_foreach (value, i, item) {
        if (!json_is_string(item))
            return false;
    }
    return true;
}

static bool all_string_values(json_t *value) {
    const char *key;
    json_t *item;
    json_object_foreach (value, key, item) {
        if (!json_is_string(item))
            return false;
    }
    return true;
}

static bool has_type(json_t *value, enum type type) {
    switch (type) {
    case TEXT:
        return json_is_string(value);
    case TEXTS:
        return json_is_array(value) && all_strings(value);
    case TEXT_MAP:
        return json_is_object(value) && all_string_values(value);
    default:
        return json_is_object(value);
    }
}

struct expected {
    const char *key;
    enum type type;
};

static const struct expected top_keys[] = {
    {"created", TEXT},      {"author", TEXT},  {"architecture", TEXT},
    {"os", TEXT},           {"variant", TEXT}, {"os.version", TEXT},
    {"os.features", TEXTS}, {"config", MAP},   {"rootfs", MAP},
};
static const struct expected config_keys[] = {
    {"User", TEXT},   {"ExposedPorts", MAP}, {"Env", TEXTS},       {"Entrypoint", TEXTS},
    {"Cmd", TEXTS},   {"Volumes", MAP},      {"WorkingDir", TEXT}, {"Labels", TEXT_MAP},
    {"Shell", TEXTS}, {"StopSignal", TEXT},
};

static int check_types(const json_t *object, const struct expected *expected, size_t n,
                       struct sb_error *err) {
    for (size_t i = 0; i < n; i++) {
        json_t *value = json_object_get(object, expected[i].key);
        if (value && !has_type(value, expected[i].type))
            return sb_fail(err, SB_E_INTEGRITY, "\"%s\" has the wrong type", expected[i].key);
    }
    return 0;
}

static void drop_nulls(json_t *object) {
    void *next;
    const char *key;
    json_t *value;
    json_object_foreach_safe(object, next, key, value) {
        if (json_is_null(value))
            json_object_del(object, key);
    }
}

static int check_config(json_t *config, struct sb_error *err) {
    drop_nulls(config);
    if (check_types(config, top_keys, sizeof top_keys / sizeof *top_keys, err) < 0)
        return -1;
    json_t *inner = json_object_get(config, "config");
    drop_nulls(inner);
    if (check_types(inner, config_keys, sizeof config_keys / sizeof *config_keys, err) < 0)
        return -1;
    const json_t *history = json_object_get(config, "history");
    if (history && !json_is_array(history))
        return sb_fail(err, SB_E_INTEGRITY, "\"history\" is not an array");
    size_t i;
    json_t *entry;
    json_array_foreach (history, i, entry) {
        if (!json_is_object(entry))
            return sb_fail(err, SB_E_INTEGRITY, "history[%zu] is not an object", i);
    }
    return 0;
}

/* ---- layers: descriptors of the manifest, diff IDs and history of the config ---- */

static int add_layer(struct sb_image *image, const json_t *descriptor, const json_t *diff_id,
                     struct sb_error *err) {
    struct sb_layer layer = {0};
    if (sb_descriptor_parse(descriptor, &layer.descriptor, err) < 0)
        return -1;
    if (sb_media_kind(layer.descriptor.media_type) != SB_MEDIA_KIND_LAYER)
        return sb_fail(err, SB_E_FAILED, "is of the type \"%.100s\", which is no image layer",
                       sb_json_string(descriptor, "mediaType", ""));
    if (!json_is_string(diff_id))
        return sb_fail(err, SB_E_INTEGRITY, "the diff ID is not a string");
    if (sb_digest_parse(json_string_value(diff_id), &layer.diff_id, err) < 0)
        return -1;
    json_t *annotations = json_object_get(descriptor, "annotations");
    json_t *urls = json_object_get(descriptor, "urls");
    sb_image_add_layer(image, &layer, sb_json_string(annotations, SB_ANNOTATION_LAYER_NAME, NULL),
                       NULL);
    if (json_is_object(annotations)) {
        json_t *rest = json_deep_copy(annotations);
        json_object_del(rest, SB_ANNOTATION_LAYER_NAME);
        if (json_object_size(rest) > 0)
            image->layers[image->layer_count - 1].annotations = json_incref(rest);
        json_decref(rest);
    }
    if (json_array_size(urls) > 0 && all_strings(urls))
        image->layers[image->layer_count - 1].urls = json_incref(urls);
    return 0;
}

static int add_layers(struct sb_image *image, const json_t *manifest, struct sb_error *err) {
    const json_t *layers = json_object_get(manifest, "layers");
    const json_t *diff_ids = json_object_get(json_object_get(image->config, "rootfs"), "diff_ids");
    if (!json_is_array(layers) && !json_is_null(layers)) /* null: as Go writes none */
        return sb_fail(err, SB_E_INTEGRITY, "\"layers\" is not an array");
    size_t n = json_array_size(layers);
    if (sb_image_check_layers(image, n, err) < 0)
        return -1;
    if (json_array_size(diff_ids) != n)
        return sb_fail(err, SB_E_INTEGRITY,
                       "the manifest has %zu layers, and its config has %zu diff IDs", n,
                       json_array_size(diff_ids));
    for (size_t i = 0; i < n; i++)
        if (add_layer(image, json_array_get(layers, i), json_array_get(diff_ids, i), err) < 0)
            return sb_error_context(err, "layer %zu", i + 1);
    return 0;
}

bool sb_history_has_layer(const json_t *entry) {
    return !json_is_true(json_object_get(entry, "empty_layer"));
}

/* A history that does not tell of every layer helps nobody, and is dropped. */
static void match_history(struct sb_image *image) {
    const json_t *history = json_object_get(image->config, "history");
    size_t i, layer = 0, n = 0;
    json_t *entry;
    json_array_foreach (history, i, entry) {
        n += sb_history_has_layer(entry);
    }
    if (n != image->layer_count) {
        json_object_del(image->config, "history");
        return;
    }
    json_array_foreach (history, i, entry) {
        if (!sb_history_has_layer(entry))
            continue;
        const char *text = sb_json_string(entry, "created_by", NULL);
        image->layers[layer++].created_by = text ? sb_strdup(text) : NULL;
    }
}

/* ---- the manifest ---- */

int sb_manifest_check(const json_t *document, const struct sb_descriptor *descriptor,
                      struct sb_error *err) {
    bool index = sb_media_kind(descriptor->media_type) == SB_MEDIA_KIND_INDEX;
    if (sb_json_integer(document, "schemaVersion", 0) != 2)
        return sb_fail(err, SB_E_INTEGRITY, "schemaVersion is not 2");
    const json_t *type = json_object_get(document, "mediaType");
    if (type &&
        (!json_is_string(type) || strcmp(json_string_value(type), descriptor->media_type) != 0))
        return sb_fail(err, SB_E_INTEGRITY, "the mediaType is not the %s it was referred to as",
                       descriptor->media_type);
    if (index ? json_object_get(document, "layers") || json_object_get(document, "config")
              : json_object_get(document, "manifests") != NULL)
        return sb_fail(err, SB_E_INTEGRITY, "is an index and an image at once");
    return 0;
}

static int read_image(struct sb_store *store, read_blob *read, const json_t *manifest,
                      struct sb_image *out, struct sb_error *err) {
    const json_t *config = json_object_get(manifest, "config");
    if (sb_descriptor_parse(config, &out->config_descriptor, err) < 0)
        return sb_error_context(err, "config");
    if (sb_media_kind(out->config_descriptor.media_type) != SB_MEDIA_KIND_CONFIG)
        return sb_fail(err, SB_E_FAILED, "is an artifact of the type \"%.100s\", not an image",
                       sb_json_string(config, "mediaType", ""));
    out->config = read_json(store, read, &out->config_descriptor, SB_CONFIG_LIMIT, err);
    if (!out->config || check_config(out->config, err) < 0)
        return sb_error_context(err, "the config");
    /* Some tools leave it empty, where an image has nothing that any system would run. */
    if (!*sb_json_string(out->config, "os", ""))
        json_object_set_new(out->config, "os", json_string("linux"));
    if (strcasecmp(sb_json_string(out->config, "os", ""), "linux") != 0)
        return sb_fail(err, SB_E_FAILED, "is an image for %.40s, not for Linux",
                       sb_json_string(out->config, "os", ""));
    json_t *annotations = json_object_get(manifest, "annotations");
    if (annotations && !has_type(annotations, TEXT_MAP))
        return sb_fail(err, SB_E_INTEGRITY, "\"annotations\" has the wrong type");
    out->annotations = json_incref(annotations);
    const char *artifact = sb_json_string(manifest, "artifactType", NULL);
    out->artifact_type = artifact ? sb_strdup(artifact) : NULL;
    const json_t *subject = json_object_get(manifest, "subject");
    if (subject && !json_is_null(subject) && sb_descriptor_parse(subject, &out->subject, err) < 0)
        return sb_error_context(err, "subject");
    if (add_layers(out, manifest, err) < 0)
        return -1;
    match_history(out);
    return 0;
}

/* Follows indexes to the manifest of the platform; a new reference, and its descriptor. */
static json_t *find_manifest(struct sb_store *store, read_blob *read,
                             const struct sb_descriptor *descriptor,
                             const struct sb_platform *platform, struct sb_descriptor *out,
                             struct sb_error *err) {
    *out = *descriptor;
    out->media_type = sb_media_static(descriptor->media_type);
    for (int depth = 0; depth <= INDEX_DEPTH_LIMIT; depth++) {
        enum sb_media_kind kind = sb_media_kind(out->media_type);
        if (kind != SB_MEDIA_KIND_INDEX && kind != SB_MEDIA_KIND_MANIFEST) {
            sb_fail(err, SB_E_FAILED, "%s is no image", sb_digest_text(&out->digest).text);
            return NULL;
        }
        sb_autojson json_t *document = read_json(store, read, out, SB_MANIFEST_LIMIT, err);
        if (!document)
            return NULL;
        if (sb_manifest_check(document, out, err) < 0) {
            sb_error_context(err, "%s", sb_digest_text(&out->digest).text);
            return NULL;
        }
        if (kind == SB_MEDIA_KIND_MANIFEST)
            return sb_steal(document);
        struct sb_descriptor chosen;
        if (sb_platform_choose(json_object_get(document, "manifests"), platform, &chosen, err) < 0)
            return NULL;
        *out = chosen;
    }
    sb_fail(err, SB_E_FAILED, "%s: more than %d indexes in one another",
            sb_digest_text(&descriptor->digest).text, INDEX_DEPTH_LIMIT);
    return NULL;
}

static int load(struct sb_store *store, read_blob *read, const struct sb_descriptor *descriptor,
                const struct sb_platform *platform, struct sb_image *out, struct sb_error *err) {
    *out = (struct sb_image){0};
    struct sb_descriptor found;
    sb_autojson json_t *manifest = find_manifest(store, read, descriptor, platform, &found, err);
    if (!manifest)
        return -1;
    if (read_image(store, read, manifest, out, err) < 0) {
        sb_image_free(out);
        return sb_error_context(err, "%s", sb_digest_text(&found.digest).text);
    }
    out->descriptor = found;
    return 0;
}

int sb_image_peek(struct sb_store *store, const struct sb_descriptor *descriptor,
                  struct sb_image *out, struct sb_error *err) {
    return load(store, sb_blob_peek, descriptor, NULL, out, err);
}

int sb_image_load_for(struct sb_store *store, const struct sb_descriptor *descriptor,
                      const struct sb_platform *platform, struct sb_image *out,
                      struct sb_error *err) {
    *out = (struct sb_image){0};
    if (sb_store_hold(store, err) < 0)
        return -1;
    int failed = load(store, sb_blob_read, descriptor, platform, out, err);
    for (size_t i = 0; i < out->layer_count; i++) {
        const struct sb_digest *digest = &out->layers[i].layer.descriptor.digest;
        sb_store_use(store, sb_blob_name(digest).text, NULL);
        sb_store_use(store, sb_origin_name(digest).text, NULL);
    }
    sb_store_release(store);
    return failed;
}

int sb_image_load(struct sb_store *store, const struct sb_descriptor *descriptor,
                  struct sb_image *out, struct sb_error *err) {
    return sb_image_load_for(store, descriptor, NULL, out, err);
}
