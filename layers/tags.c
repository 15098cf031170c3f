#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "layers/descriptor.h"
#include "layers/store_private.h"

#define CONFIG_LIMIT (8u << 20)
#define NAME_LIMIT   255

/* ---- names: image-spec 1.1, annotations.md, the grammar of org.opencontainers.image.ref.name:
 * ref ::= component ("/" component)*; component ::= alphanum (separator alphanum)*;
 * separator ::= [-._:@+] | "--" ---- */

bool sb_store_name_valid(const char *name) {
    if (strlen(name) > NAME_LIMIT)
        return false;
    bool in_word = false;
    for (const char *p = name; *p; p++) {
        if (isalnum((unsigned char)*p) && (unsigned char)*p < 0x80) {
            in_word = true;
            continue;
        }
        if (!in_word || !strchr("-._:@+/", *p))
            return false;
        if (p[0] == '-' && p[1] == '-')
            p++;
        in_word = false;
    }
    return in_word;
}

static int check_names(const struct sb_strings *names, struct sb_error *err) {
    for (size_t i = 0; i < names->n; i++) {
        if (sb_store_name_valid(names->v[i]))
            continue;
        sb_fail(err, SB_E_USAGE, "\"%.300s\" is not a valid name for an image", names->v[i]);
        return sb_error_hint(err,
                             "use letters and digits, with one of . _ - : @ + / or -- between "
                             "them, at most %d in all: backend:v1.4.2",
                             NAME_LIMIT);
    }
    return 0;
}

/* ---- changing ---- */

static json_t *read_json(struct sb_store *store, const struct sb_descriptor *descriptor,
                         size_t limit) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_blob_peek(store, descriptor, limit, &text, NULL) < 0)
        return NULL;
    return sb_json_parse(text.data, text.len, NULL);
}

/* {"architecture", "os", …} as the image's config has it; NULL when it is no image of one platform.
 */
static json_t *find_platform(struct sb_store *store, const struct sb_descriptor *descriptor) {
    if (sb_media_kind(descriptor->media_type) != SB_MEDIA_KIND_MANIFEST)
        return NULL;
    sb_autojson json_t *manifest = read_json(store, descriptor, SB_MANIFEST_LIMIT);
    struct sb_descriptor config_descriptor;
    if (sb_descriptor_parse(json_object_get(manifest, "config"), &config_descriptor, NULL) < 0)
        return NULL;
    sb_autojson json_t *config = read_json(store, &config_descriptor, CONFIG_LIMIT);
    static const char *const keys[] = {"architecture", "os", "os.version", "variant"};
    json_t *platform = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(config, keys[i]);
        if (json_string_length(value) > 0)
            json_object_set(platform, keys[i], value);
    }
    if (json_object_get(platform, "architecture") && json_object_get(platform, "os"))
        return platform;
    json_decref(platform);
    return NULL;
}

static bool points_at(const json_t *entry, const struct sb_descriptor *descriptor) {
    struct sb_descriptor found;
    return sb_descriptor_parse(entry, &found, NULL) == 0 && found.size == descriptor->size &&
           sb_digest_equal(&found.digest, &descriptor->digest) && found.media_type &&
           !strcmp(found.media_type, descriptor->media_type);
}

/* Leaves one entry of that name at most: the one in *keep, if any. Returns how many it removed. */
static size_t remove_entries(json_t *manifests, const char *name, const json_t *keep) {
    size_t removed = 0;
    for (size_t i = json_array_size(manifests); i-- > 0;) {
        const json_t *entry = json_array_get(manifests, i);
        const char *its = sb_index_name(entry);
        if (entry == keep || !its || strcmp(its, name) != 0)
            continue;
        json_array_remove(manifests, i);
        removed++;
    }
    return removed;
}

static const json_t *find_entry(const json_t *manifests, const char *name,
                                const struct sb_descriptor *descriptor) {
    size_t i;
    json_t *entry;
    json_array_foreach (manifests, i, entry) {
        const char *its = sb_index_name(entry);
        if (its && !strcmp(its, name) && (!descriptor || points_at(entry, descriptor)))
            return entry;
    }
    return NULL;
}

/* 1: that changes something. */
static int point(struct sb_store *store, json_t *root, const char *name,
                 const struct sb_descriptor *descriptor, struct sb_error *err) {
    json_t *manifests = json_object_get(root, "manifests");
    const json_t *there = find_entry(manifests, name, descriptor);
    bool changed = remove_entries(manifests, name, there) > 0;
    if (there)
        return changed;
    if (!sb_blob_has(store, &descriptor->digest, descriptor->size))
        return sb_fail(err, SB_E_NOT_FOUND, "the manifest %s is not in the store %s",
                       sb_digest_text(&descriptor->digest).text, store->path);
    json_t *platform = find_platform(store, descriptor);
    json_t *entry = sb_descriptor_json(descriptor);
    json_object_set_new(entry, "annotations", json_pack("{s:s}", SB_ANNOTATION_REF_NAME, name));
    if (platform)
        json_object_set_new(entry, "platform", platform);
    json_array_append_new(manifests, entry);
    return 1;
}

static int tag_held(struct sb_store *store, const struct sb_strings *names, sb_store_choose *choose,
                    void *data, struct sb_error *err) {
    sb_autoclose int lock = sb_index_lock(store, err);
    if (lock < 0)
        return -1;
    sb_autojson json_t *root = sb_index_read(store, false, err);
    int changed = root ? 0 : -1;
    for (size_t i = 0; i < names->n && changed >= 0; i++) {
        const char *name = names->v[i];
        struct sb_descriptor now, chosen;
        const json_t *there = find_entry(json_object_get(root, "manifests"), name, NULL);
        bool known = there && sb_descriptor_parse(there, &now, NULL) == 0;
        if (choose(data, name, known ? &now : NULL, &chosen, err) < 0)
            return -1;
        int one = point(store, root, name, &chosen, err);
        changed = one < 0 ? -1 : changed | one;
    }
    return changed > 0 ? sb_index_write(store, root, err) : changed;
}

int sb_store_tag_chosen(struct sb_store *store, const struct sb_strings *names,
                        sb_store_choose *choose, void *data, struct sb_error *err) {
    /* Held throughout: what is tagged now, the collector must not be about to take. */
    if (check_names(names, err) < 0 || sb_store_hold(store, err) < 0)
        return -1;
    int failed = tag_held(store, names, choose, data, err);
    sb_store_release(store);
    return failed;
}

static int choose_given(void *data, const char *name, const struct sb_descriptor *now,
                        struct sb_descriptor *out, struct sb_error *err) {
    (void)name;
    (void)now;
    (void)err;
    *out = *(const struct sb_descriptor *)data;
    return 0;
}

int sb_store_tag(struct sb_store *store, const struct sb_strings *names,
                 const struct sb_descriptor *manifest, struct sb_error *err) {
    if (!sb_blob_has(store, &manifest->digest, manifest->size))
        return sb_fail(err, SB_E_NOT_FOUND, "the manifest %s is not in the store %s",
                       sb_digest_text(&manifest->digest).text, store->path);
    return sb_store_tag_chosen(store, names, choose_given, (void *)manifest, err);
}

int sb_store_untag(struct sb_store *store, const struct sb_strings *names, struct sb_error *err) {
    sb_autoclose int lock = sb_index_lock(store, err);
    if (lock < 0)
        return -1;
    sb_autojson json_t *root = sb_index_read(store, false, err);
    if (!root)
        return -1;
    json_t *manifests = json_object_get(root, "manifests");
    for (size_t i = 0; i < names->n; i++)
        if (!find_entry(manifests, names->v[i], NULL))
            return sb_store_unknown(store, names->v[i], err);
    size_t removed = 0;
    for (size_t i = 0; i < names->n; i++)
        removed += remove_entries(manifests, names->v[i], NULL);
    return removed ? sb_index_write(store, root, err) : 0;
}
