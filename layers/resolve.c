/*
 * From what a user types to an image of the store.
 */
#include <string.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "layers/descriptor.h"
#include "layers/store_private.h"

#define PREFIX_LEAST 6 /* digits of a digest that name an image */
#define NAMES_SHOWN  8

/* True when name is "NAME:…" for that NAME. */
static bool is_tag_of(const char *name, const char *repository) {
    size_t n = strlen(repository);
    return !strncmp(name, repository, n) && name[n] == ':' && !strchr(name + n, '/');
}

/* ---- not found ---- */

static void list_tags(const struct sb_tagged_list *tags, const char *repository,
                      struct sb_buf *out) {
    size_t shown = 0;
    for (size_t i = 0; i < tags->n; i++) {
        if (!is_tag_of(tags->v[i].name, repository))
            continue;
        if (shown++ < NAMES_SHOWN)
            sb_buf_addf(out, "%s%s", shown > 1 ? ", " : "", tags->v[i].name);
    }
    if (shown > NAMES_SHOWN)
        sb_buf_addf(out, " and %zu more", shown - NAMES_SHOWN);
}

static int hint_nearest(const struct sb_tagged_list *tags, const char *reference,
                        struct sb_error *err) {
    if (tags->n == 0)
        return sb_error_hint(err, "no image has a name in this store yet; `sbuild RECIPE` builds "
                                  "one");
    sb_autostrings struct sb_strings names = {0};
    for (size_t i = 0; i < tags->n; i++) {
        sb_strings_add(&names, tags->v[i].name);
        const char *colon = strrchr(tags->v[i].name, ':');
        if (colon)
            sb_strings_take(&names, sb_strndup(tags->v[i].name, (size_t)(colon - tags->v[i].name)));
    }
    const char *nearest = sb_text_nearest(reference, (const char *const *)names.v);
    if (nearest && strcmp(nearest, reference) != 0) /* a name without its tag is none */
        return sb_error_hint(err, "did you mean %s?", nearest);
    const char *colon = strrchr(reference, ':');
    sb_autofree char *repository =
        colon ? sb_strndup(reference, (size_t)(colon - reference)) : sb_strdup(reference);
    sb_autobuf struct sb_buf list = {0};
    list_tags(tags, repository, &list);
    if (list.len > 0)
        return sb_error_hint(err, "there is %s", list.data);
    return sb_error_hint(err, "`sbuild images` lists what there is");
}

static int unknown(struct sb_store *store, const struct sb_tagged_list *tags, const char *reference,
                   struct sb_error *err) {
    sb_fail(err, SB_E_NOT_FOUND, "there is no image \"%.300s\" in the store %s", reference,
            store->path);
    return hint_nearest(tags, reference, err);
}

int sb_store_unknown(struct sb_store *store, const char *reference, struct sb_error *err) {
    struct sb_tagged_list tags;
    if (sb_store_tags(store, &tags, err) < 0)
        return -1;
    unknown(store, &tags, reference, err);
    sb_tagged_list_free(&tags);
    return -1;
}

/* ---- by name ---- */

/* 1 when found, 0 when not, -1 when it is not clear which. */
static int find_by_name(const struct sb_tagged_list *tags, const char *reference,
                        struct sb_descriptor *out, struct sb_error *err) {
    sb_autofree char *latest = sb_format("%s:latest", reference);
    const struct sb_tagged *best = NULL, *only = NULL;
    bool several = false; /* images, not names */
    for (size_t i = 0; i < tags->n && !best; i++)
        if (!strcmp(tags->v[i].name, reference))
            best = &tags->v[i];
    for (size_t i = 0; i < tags->n && !best; i++) {
        const struct sb_tagged *tagged = &tags->v[i];
        if (!strcmp(tagged->name, latest))
            best = tagged;
        if (!is_tag_of(tagged->name, reference))
            continue;
        several |= only && !sb_digest_equal(&only->descriptor.digest, &tagged->descriptor.digest);
        only = tagged;
    }
    if (!best && several) {
        sb_autobuf struct sb_buf list = {0};
        list_tags(tags, reference, &list);
        sb_fail(err, SB_E_NOT_FOUND, "\"%.300s\" has several tags, and none is latest", reference);
        return sb_error_hint(err, "name one of %s", list.data);
    }
    if (!best)
        best = only;
    if (best)
        *out = best->descriptor;
    return best != NULL;
}

/* ---- by digest ---- */

static bool is_hex(const char *text) {
    return strspn(text, "0123456789abcdef") == strlen(text);
}

/* A manifest that no entry of index.json names, by its whole digest. */
static int find_blob(struct sb_store *store, const char *hex, struct sb_descriptor *out) {
    struct sb_descriptor found = {0};
    if (!sb_digest_parse_hex(hex, &found.digest))
        return 0;
    sb_autobuf struct sb_buf text = {0};
    if (sb_blob_peek(store, &found, SB_MANIFEST_LIMIT, &text, NULL) < 0)
        return 0;
    sb_autojson json_t *manifest = sb_json_parse(text.data, text.len, NULL);
    found.size = text.len;
    const char *assumed = json_object_get(manifest, "layers") ? SB_MEDIA_MANIFEST : "";
    found.media_type = sb_media_static(sb_json_string(manifest, "mediaType", assumed));
    enum sb_media_kind kind = sb_media_kind(found.media_type);
    if (kind != SB_MEDIA_KIND_MANIFEST && kind != SB_MEDIA_KIND_INDEX)
        return 0;
    *out = found;
    return 1;
}

/* As find_by_name. */
static int find_by_digest(struct sb_store *store, const char *hex, struct sb_descriptor *out,
                          struct sb_error *err) {
    sb_autojson json_t *root = sb_index_read(store, false, err);
    if (!root)
        return -1;
    bool found = false;
    size_t i;
    json_t *entry;
    json_array_foreach (json_object_get(root, "manifests"), i, entry) {
        struct sb_descriptor descriptor;
        if (sb_descriptor_parse(entry, &descriptor, NULL) < 0 || !descriptor.media_type ||
            strncmp(sb_digest_hex(&descriptor.digest).text, hex, strlen(hex)) != 0)
            continue;
        if (found && !sb_digest_equal(&out->digest, &descriptor.digest)) {
            sb_fail(err, SB_E_NOT_FOUND, "several images have a digest that starts with %s", hex);
            return sb_error_hint(err, "give more digits: %s is one of them",
                                 sb_digest_text(&descriptor.digest).text);
        }
        found = true;
        *out = descriptor;
    }
    return found ? 1 : find_blob(store, hex, out);
}

/* The image may be used from now on, so it counts as used from now on. */
static int resolve_held(struct sb_store *store, const struct sb_tagged_list *tags,
                        const char *reference, struct sb_descriptor *out, struct sb_error *err) {
    static const char prefix[] = "sha256:";
    bool by_digest = !strncmp(reference, prefix, strlen(prefix));
    const char *hex = by_digest ? reference + strlen(prefix) : reference;
    size_t digits = strlen(hex);
    if (by_digest && (!is_hex(hex) || digits < PREFIX_LEAST || digits > 64)) {
        sb_fail(err, SB_E_NOT_FOUND, "\"%.300s\" is not a digest", reference);
        return sb_error_hint(err, "after sha256: come %d to 64 digits of 0-9 and a-f",
                             PREFIX_LEAST);
    }
    int found = by_digest ? 0 : find_by_name(tags, reference, out, err);
    if (found == 0 && is_hex(hex) && digits >= PREFIX_LEAST && digits <= 64)
        found = find_by_digest(store, hex, out, err);
    if (found == 0)
        return unknown(store, tags, reference, err);
    if (found > 0 && !sb_blob_has(store, &out->digest, out->size)) {
        sb_fail(err, SB_E_NOT_FOUND, "the manifest %s of \"%.300s\" is not in the store %s",
                sb_digest_text(&out->digest).text, reference, store->path);
        return sb_error_hint(err, "build or pull the image again");
    }
    return found > 0 ? 0 : -1;
}

int sb_store_resolve(struct sb_store *store, const char *reference, struct sb_descriptor *out,
                     struct sb_error *err) {
    *out = (struct sb_descriptor){0};
    if (sb_store_hold(store, err) < 0)
        return -1;
    struct sb_tagged_list tags;
    int failed = sb_store_tags(store, &tags, err);
    if (!failed)
        failed = resolve_held(store, &tags, reference, out, err);
    sb_tagged_list_free(&tags);
    sb_store_release(store);
    return failed;
}
