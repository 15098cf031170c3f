/*
 * What docker save writes: manifest.json names, for each image, a config and the layers' tars. The
 * manifest of the image, which is not among it, is made here; config and image ID stay as they are.
 */
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/memory.h"
#include "layers/descriptor.h"
#include "layers/image.h"
#include "layers/members.h"

static bool has_tag(const json_t *item, const char *tag) {
    size_t i;
    json_t *name;
    json_array_foreach (json_object_get(item, "RepoTags"), i, name) {
        const char *text = json_is_string(name) ? json_string_value(name) : "";
        const char *colon = strrchr(text, ':');
        if (!strcmp(text, tag) || (colon && !strcmp(colon + 1, tag)))
            return true;
    }
    return false;
}

static const json_t *choose(const json_t *manifest, const char *tag, struct sb_error *err) {
    size_t i, count = 0;
    json_t *item;
    const json_t *found = NULL;
    json_array_foreach (manifest, i, item) {
        if (tag && !has_tag(item, tag))
            continue;
        found = item;
        count++;
    }
    if (count == 1)
        return found;
    if (tag) {
        sb_fail(err, SB_E_NOT_FOUND, "the archive has %zu images tagged %s", count, tag);
    } else {
        sb_fail(err, SB_E_NOT_FOUND, "the archive has %zu images, and one is needed", count);
        sb_error_hint(err, "name one of them: docker-archive:FILE:TAG");
    }
    return NULL;
}

static const char *media_type_of(struct sb_store *store, const struct sb_member *member) {
    unsigned char magic[4] = {0};
    sb_autoclose int fd = sb_blob_open(store, &member->layer.descriptor.digest, 0, NULL);
    if (fd < 0 || pread(fd, magic, sizeof magic, 0) != sizeof magic)
        return SB_MEDIA_LAYER_TAR;
    if (magic[0] == 0x1f && magic[1] == 0x8b)
        return SB_MEDIA_LAYER_GZIP;
    return !memcmp(magic, "\x28\xb5\x2f\xfd", 4) ? SB_MEDIA_LAYER_ZSTD : SB_MEDIA_LAYER_TAR;
}

/* The descriptor of one layer. An uncompressed one shows here already whether it is the one that
 * the config means; others do when they are unpacked. */
static json_t *layer_json(struct sb_store *store, const struct sb_members *members,
                          const json_t *path, const json_t *diff_id, struct sb_error *err) {
    const struct sb_member *member =
        json_is_string(path) ? sb_members_find(members, json_string_value(path)) : NULL;
    struct sb_digest expected;
    if (!member) {
        sb_fail(err, SB_E_INTEGRITY, "the archive has no layer \"%.100s\"",
                json_is_string(path) ? json_string_value(path) : "?");
        return NULL;
    }
    if (!json_is_string(diff_id)) {
        sb_fail(err, SB_E_INTEGRITY, "the config has no diff ID for %.100s",
                json_string_value(path));
        return NULL;
    }
    if (sb_digest_parse(json_string_value(diff_id), &expected, err) < 0)
        return NULL;
    struct sb_descriptor d = member->layer.descriptor;
    if (!member->packed)
        d.media_type = media_type_of(store, member);
    bool plain = member->packed || !strcmp(d.media_type, SB_MEDIA_LAYER_TAR);
    if (plain && !sb_digest_equal(&expected, &member->digest)) {
        sb_fail(err, SB_E_INTEGRITY, "the layer %.100s has the diff ID %s, and the config says %s",
                json_string_value(path), sb_digest_text(&member->digest).text,
                sb_digest_text(&expected).text);
        return NULL;
    }
    return sb_descriptor_json(&d);
}

static json_t *layers_json(struct sb_store *store, const struct sb_members *members,
                           const json_t *item, const json_t *config, struct sb_error *err) {
    const json_t *paths = json_object_get(item, "Layers");
    const json_t *diff_ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
    size_t n = json_array_size(paths);
    if (n > SB_LAYER_LIMIT || n != json_array_size(diff_ids)) {
        sb_fail(err, SB_E_INTEGRITY, "the archive has %zu layers, and its config %zu diff IDs", n,
                json_array_size(diff_ids));
        return NULL;
    }
    sb_autojson json_t *layers = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *layer =
            layer_json(store, members, json_array_get(paths, i), json_array_get(diff_ids, i), err);
        if (!layer)
            return NULL;
        json_array_append_new(layers, layer);
    }
    return sb_steal(layers);
}

int sb_import_docker(struct sb_store *store, const struct sb_members *members, const char *tag,
                     struct sb_descriptor *out, struct sb_error *err) {
    sb_autojson json_t *manifest =
        sb_members_json(store, members, "manifest.json", SB_MANIFEST_LIMIT, err);
    const json_t *item = manifest ? choose(manifest, tag, err) : NULL;
    if (!item)
        return -1;
    const char *path = sb_json_string(item, "Config", "");
    sb_autojson json_t *config = sb_members_json(store, members, path, SB_CONFIG_LIMIT, err);
    if (!config)
        return -1;
    struct sb_descriptor descriptor = sb_members_find(members, path)->layer.descriptor;
    descriptor.media_type = SB_MEDIA_CONFIG;
    json_t *layers = layers_json(store, members, item, config, err);
    if (!layers)
        return -1;
    sb_autojson json_t *made =
        json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", SB_MEDIA_MANIFEST,
                  "config", sb_descriptor_json(&descriptor), "layers", layers);
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(made, &text);
    *out = (struct sb_descriptor){.media_type = SB_MEDIA_MANIFEST, .size = text.len};
    return sb_blob_put(store, text.data, text.len, &out->digest, err);
}
