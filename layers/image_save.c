#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "layers/descriptor.h"
#include "layers/image_private.h"

/* ---- keys in a fixed order ---- */

static const char *const config_order[] = {
    "created",     "author", "architecture", "variant", "os", "os.version",
    "os.features", "config", "rootfs",       "history", NULL};
static const char *const inner_order[] = {"User",    "ExposedPorts", "Env",    "Entrypoint", "Cmd",
                                          "Volumes", "WorkingDir",   "Labels", "StopSignal", NULL};
static const char *const rootfs_order[] = {"type", "diff_ids", NULL};
static const char *const history_order[] = {"created", "created_by",  "author",
                                            "comment", "empty_layer", NULL};
static const char *const no_order[] = {NULL};

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A copy: keys of order first, in that order, then all others by bytes. The parts below are sorted
 * likewise, by the order that is known for them. */
static json_t *arranged(const json_t *value, const char *const *order) {
    if (json_is_array(value)) {
        json_t *copy = json_array();
        size_t i;
        json_t *item;
        json_array_foreach (value, i, item) {
            json_array_append_new(copy, arranged(item, order));
        }
        return copy;
    }
    if (!json_is_object(value))
        return json_deep_copy(value);
    json_t *copy = json_object(), *source = (json_t *)value;
    sb_autofree const char **keys = sb_alloc(json_object_size(value) * sizeof *keys);
    size_t n = 0;
    const char *key;
    json_t *item;
    json_object_foreach (source, key, item) {
        keys[n++] = key;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    for (; *order; order++)
        if ((item = json_object_get(value, *order)))
            json_object_set_new(copy, *order,
                                arranged(item, !strcmp(*order, "config")    ? inner_order
                                               : !strcmp(*order, "rootfs")  ? rootfs_order
                                               : !strcmp(*order, "history") ? history_order
                                                                            : no_order));
    for (size_t i = 0; i < n; i++)
        if (!json_object_get(copy, keys[i]))
            json_object_set_new(copy, keys[i], arranged(json_object_get(value, keys[i]), no_order));
    return copy;
}

/* ---- the config ---- */

static int format_time(int64_t epoch, char *out, size_t size, struct sb_error *err) {
    time_t seconds = (time_t)epoch;
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
        return sb_fail(err, SB_E_FAILED, "the epoch %lld is out of range", (long long)epoch);
    snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return 0;
}

static json_t *make_rootfs(const struct sb_image *image) {
    json_t *diff_ids = json_array();
    for (size_t i = 0; i < image->layer_count; i++)
        json_array_append_new(diff_ids,
                              json_string(sb_digest_text(&image->layers[i].layer.diff_id).text));
    return json_pack("{s:s, s:o}", "type", "layers", "diff_ids", diff_ids);
}

/* What the config has already, empty layers too, and an entry for each layer after that. */
static json_t *make_history(const struct sb_image *image, const char *created) {
    json_t *history = json_deep_copy(json_object_get(image->config, "history"));
    size_t covered = 0, i;
    json_t *entry;
    json_array_foreach (history, i, entry) {
        covered += sb_history_has_layer(entry);
    }
    if (!json_is_array(history) || covered > image->layer_count) {
        json_decref(history);
        history = json_array();
        covered = 0;
    }
    for (i = covered; i < image->layer_count; i++) {
        const char *text = image->layers[i].created_by;
        entry = json_pack("{s:s}", "created", created);
        if (text)
            json_object_set_new(entry, "created_by",
                                sb_text_is_utf8(text) ? json_string(text)
                                                      : sb_json_from_bytes(text));
        json_array_append_new(history, entry);
    }
    return history;
}

static int save_config(struct sb_store *store, struct sb_image *image, const char *created,
                       struct sb_error *err) {
    sb_autojson json_t *config = json_copy(image->config);
    if (!*sb_json_string(config, "architecture", "")) /* its base didn't say; built it was here */
        json_object_set_new(config, "architecture", json_string(sb_platform_architecture()));
    json_object_set_new(config, "created", json_string(created));
    json_object_set_new(config, "rootfs", make_rootfs(image));
    json_object_set_new(config, "history", make_history(image, created));
    json_t *final = arranged(config, config_order);
    json_decref(image->config);
    image->config = final;
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(final, &text);
    if (text.len > SB_CONFIG_LIMIT)
        return sb_fail(err, SB_E_FAILED, "the image config would have %zu bytes, at most %u can be",
                       text.len, SB_CONFIG_LIMIT);
    struct sb_descriptor *descriptor = &image->config_descriptor;
    *descriptor = (struct sb_descriptor){.media_type = SB_MEDIA_CONFIG, .size = text.len};
    return sb_blob_put(store, text.data, text.len, &descriptor->digest, err);
}

/* ---- the manifest ---- */

static json_t *make_layer(const struct sb_image_layer *layer) {
    struct sb_descriptor descriptor = layer->layer.descriptor;
    descriptor.media_type = sb_media_oci(descriptor.media_type);
    json_t *value = sb_descriptor_json(&descriptor);
    json_t *annotations = layer->annotations ? json_copy(layer->annotations) : json_object();
    if (layer->name)
        json_object_set_new(annotations, SB_ANNOTATION_LAYER_NAME, json_string(layer->name));
    if (layer->urls)
        json_object_set(value, "urls", layer->urls);
    if (json_object_size(annotations) > 0)
        json_object_set_new(value, "annotations", arranged(annotations, no_order));
    json_decref(annotations);
    return value;
}

static int save_manifest(struct sb_store *store, struct sb_image *image, struct sb_error *err) {
    json_t *layers = json_array();
    for (size_t i = 0; i < image->layer_count; i++)
        json_array_append_new(layers, make_layer(&image->layers[i]));
    json_t *subject = image->subject.media_type ? sb_descriptor_json(&image->subject) : NULL;
    sb_autojson json_t *manifest = json_pack(
        "{s:i, s:s, s:s*, s:o, s:o, s:o*}", "schemaVersion", 2, "mediaType", SB_MEDIA_MANIFEST,
        "artifactType", image->artifact_type, "config",
        sb_descriptor_json(&image->config_descriptor), "layers", layers, "subject", subject);
    if (json_object_size(image->annotations) > 0)
        json_object_set_new(manifest, "annotations", arranged(image->annotations, no_order));
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(manifest, &text);
    if (text.len > SB_MANIFEST_LIMIT)
        return sb_fail(err, SB_E_FAILED, "the manifest would have %zu bytes, at most %u can be",
                       text.len, SB_MANIFEST_LIMIT);
    struct sb_descriptor *descriptor = &image->descriptor;
    *descriptor = (struct sb_descriptor){.media_type = SB_MEDIA_MANIFEST, .size = text.len};
    return sb_blob_put(store, text.data, text.len, &descriptor->digest, err);
}

int sb_image_save(struct sb_store *store, struct sb_image *image, int64_t epoch,
                  struct sb_error *err) {
    char created[80]; /* room for what the compiler thinks a year can be */
    if (sb_image_check_layers(image, image->layer_count, err) < 0 ||
        format_time(epoch, created, sizeof created, err) < 0 ||
        save_config(store, image, created, err) < 0)
        return -1;
    return save_manifest(store, image, err);
}
