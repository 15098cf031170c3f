#include "layers/image_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "layers/descriptor.h"
#include "layers/store_private.h"

/* What Docker's attestations say they are about. */
#define REFERENCE_DIGEST "vnd.docker.reference.digest"

static void free_entry(struct sb_index_entry *entry) {
    sb_platform_free(&entry->platform);
    json_decref(entry->json);
}

void sb_image_index_free(struct sb_image_index *index) {
    for (size_t i = 0; i < index->n; i++)
        free_entry(&index->v[i]);
    free(index->v);
    free(index->text);
    json_decref(index->others);
    *index = (struct sb_image_index){0};
}

static void add(struct sb_image_index *index, const struct sb_index_entry *entry) {
    free(sb_steal(index->text));
    SB_GROW(index->v, index->n, index->cap);
    index->v[index->n++] = *entry;
}

static void copy_entry(struct sb_index_entry *to, const struct sb_index_entry *from) {
    *to =
        (struct sb_index_entry){.descriptor = from->descriptor, .json = json_deep_copy(from->json)};
    if (from->platform.os)
        sb_platform_copy(&to->platform, &from->platform);
}

void sb_image_index_copy(struct sb_image_index *to, const struct sb_image_index *from) {
    *to = (struct sb_image_index){.others = json_deep_copy(from->others),
                                  .descriptor = from->descriptor};
    for (size_t i = 0; i < from->n; i++) {
        struct sb_index_entry entry;
        copy_entry(&entry, &from->v[i]);
        add(to, &entry);
    }
    to->text = from->text ? sb_strdup(from->text) : NULL;
}

/* ---- reading ---- */

/* What is for one version of a system, or needs features of it, is for something that sbuild does
 * not tell apart. */
static bool is_plain(const json_t *entry) {
    const json_t *platform = json_object_get(entry, "platform");
    return !json_object_get(platform, "os.version") &&
           json_array_size(json_object_get(platform, "os.features")) == 0 &&
           !json_object_get(json_object_get(entry, "annotations"), SB_ANNOTATION_REFERENCE_TYPE);
}

static int read_entry(json_t *value, struct sb_image_index *out, struct sb_error *err) {
    struct sb_index_entry entry = {0};
    if (!json_is_object(value))
        return sb_fail(err, SB_E_INTEGRITY, "is not an object");
    /* Of a digest that sbuild does not know, too: it stays. */
    bool known = sb_descriptor_parse(value, &entry.descriptor, NULL) == 0;
    enum sb_media_kind kind = sb_media_kind(entry.descriptor.media_type);
    if (known && is_plain(value) && (kind == SB_MEDIA_KIND_MANIFEST || kind == SB_MEDIA_KIND_INDEX))
        sb_platform_read(json_object_get(value, "platform"), &entry.platform);
    entry.json = json_incref(value);
    add(out, &entry);
    return 0;
}

static int read_document(json_t *document, const struct sb_descriptor *descriptor,
                         struct sb_image_index *out, struct sb_error *err) {
    if (!json_is_object(document))
        return sb_fail(err, SB_E_INTEGRITY, "is not a JSON object");
    if (sb_manifest_check(document, descriptor, err) < 0)
        return -1;
    const json_t *manifests = json_object_get(document, "manifests");
    if (!json_is_array(manifests) && !json_is_null(manifests)) /* null: as Go writes none */
        return sb_fail(err, SB_E_INTEGRITY, "\"manifests\" is not an array");
    if (json_array_size(manifests) > SB_INDEX_ENTRY_LIMIT)
        return sb_fail(err, SB_E_INTEGRITY, "has %zu entries, at most %d are allowed",
                       json_array_size(manifests), SB_INDEX_ENTRY_LIMIT);
    for (size_t i = 0; i < json_array_size(manifests); i++)
        if (read_entry(json_array_get(manifests, i), out, err) < 0)
            return sb_error_context(err, "manifests[%zu]", i);
    out->others = json_copy(document);
    json_object_del(out->others, "manifests");
    json_object_del(out->others, "schemaVersion");
    json_object_del(out->others, "mediaType");
    return 0;
}

int sb_image_index_parse(const char *text, size_t len, const struct sb_descriptor *descriptor,
                         struct sb_image_index *out, struct sb_error *err) {
    *out = (struct sb_image_index){.descriptor = *descriptor};
    out->descriptor.media_type = sb_media_static(descriptor->media_type);
    int rc = -1;
    if (sb_media_kind(descriptor->media_type) == SB_MEDIA_KIND_INDEX) {
        sb_autojson json_t *document = sb_json_parse(text, len, err);
        rc = document ? read_document(document, &out->descriptor, out, err) : -1;
        if (rc == 0) /* a text without NUL, as it is JSON */
            out->text = sb_strndup(text, len);
    } else {
        sb_fail(err, SB_E_FAILED, "is no index");
    }
    if (rc == 0)
        return 0;
    sb_image_index_free(out);
    return sb_error_context(err, "the index %s", sb_digest_text(&descriptor->digest).text);
}

int sb_image_index_load(struct sb_store *store, const struct sb_descriptor *descriptor,
                        struct sb_image_index *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    *out = (struct sb_image_index){0};
    if (sb_blob_read(store, descriptor, SB_MANIFEST_LIMIT, &text, err) < 0)
        return -1;
    return sb_image_index_parse(sb_buf_text(&text), text.len, descriptor, out, err);
}

int sb_image_index_peek(struct sb_store *store, const struct sb_descriptor *descriptor,
                        struct sb_image_index *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    *out = (struct sb_image_index){0};
    if (sb_blob_peek(store, descriptor, SB_MANIFEST_LIMIT, &text, err) < 0)
        return -1;
    return sb_image_index_parse(sb_buf_text(&text), text.len, descriptor, out, err);
}

/* ---- the images ---- */

bool sb_index_entry_is_image(const struct sb_index_entry *entry) {
    return entry->platform.os && !strcmp(entry->platform.os, "linux") &&
           sb_media_kind(entry->descriptor.media_type) == SB_MEDIA_KIND_MANIFEST;
}

static int load_image(struct sb_store *store, const struct sb_index_entry *entry,
                      struct sb_image *out, struct sb_error *err) {
    if (sb_image_load(store, &entry->descriptor, out, err) == 0)
        return 0;
    sb_autofree char *platform = sb_platform_text(&entry->platform);
    if (err->code == SB_E_NOT_FOUND) {
        sb_error_clear(err);
        sb_fail(err, SB_E_NOT_FOUND, "its image for %s is not in the store", platform);
        return sb_error_hint(err, "sbuild pull --all-platforms brings all of an index; --platform "
                                  "takes one of those that are here");
    }
    return sb_error_context(err, "its image for %s", platform);
}

int sb_index_images_load(struct sb_store *store, const struct sb_image_index *index,
                         struct sb_index_images *out, struct sb_error *err) {
    *out = (struct sb_index_images){.v = sb_alloc((index->n + 1) * sizeof *out->v)};
    for (size_t i = 0; i < index->n; i++) {
        if (!sb_index_entry_is_image(&index->v[i]))
            continue;
        if (load_image(store, &index->v[i], &out->v[out->n], err) < 0) {
            sb_index_images_free(out);
            return -1;
        }
        out->n++;
    }
    if (out->n > 0)
        return 0;
    sb_index_images_free(out);
    return sb_fail(err, SB_E_NOT_FOUND, "the index has no image for Linux");
}

void sb_index_images_peek(struct sb_store *store, const struct sb_image_index *index,
                          struct sb_index_images *out) {
    *out = (struct sb_index_images){.v = sb_alloc((index->n + 1) * sizeof *out->v)};
    for (size_t i = 0; i < index->n; i++)
        if (sb_index_entry_is_image(&index->v[i]) &&
            sb_image_peek(store, &index->v[i].descriptor, &out->v[out->n], NULL) == 0)
            out->n++;
}

void sb_index_images_free(struct sb_index_images *images) {
    for (size_t i = 0; i < images->n; i++)
        sb_image_free(&images->v[i]);
    free(images->v);
    *images = (struct sb_index_images){0};
}

/* ---- what is in it ---- */

static bool has(const struct sb_image_index *index, const struct sb_digest *digest) {
    for (size_t i = 0; i < index->n; i++)
        if (index->v[i].platform.os && sb_digest_equal(&index->v[i].descriptor.digest, digest))
            return true;
    return false;
}

static bool is_about(const struct sb_index_entry *entry, const struct sb_digest *digest) {
    const json_t *annotations = json_object_get(entry->json, "annotations");
    return !strcmp(sb_json_string(annotations, REFERENCE_DIGEST, ""), sb_digest_text(digest).text);
}

void sb_image_index_remove_at(struct sb_image_index *index, size_t i) {
    free(sb_steal(index->text));
    free_entry(&index->v[i]);
    memmove(&index->v[i], &index->v[i + 1], (--index->n - i) * sizeof *index->v);
}

/* And what was said of it, unless it is still there. */
static void drop(struct sb_image_index *index, size_t i) {
    struct sb_digest digest = index->v[i].descriptor.digest;
    sb_image_index_remove_at(index, i);
    for (i = has(index, &digest) ? 0 : index->n; i-- > 0;)
        if (is_about(&index->v[i], &digest))
            sb_image_index_remove_at(index, i);
}

const struct sb_index_entry *sb_image_index_find(const struct sb_image_index *index,
                                                 const struct sb_platform *platform) {
    for (size_t i = 0; i < index->n; i++)
        if (index->v[i].platform.os && sb_platform_compare(&index->v[i].platform, platform) == 0)
            return &index->v[i];
    return NULL;
}

bool sb_image_index_remove(struct sb_image_index *index, const struct sb_platform *platform) {
    const struct sb_index_entry *found;
    bool removed = false;
    for (; (found = sb_image_index_find(index, platform)); removed = true)
        drop(index, (size_t)(found - index->v));
    return removed;
}

static bool is_same(const struct sb_index_entry *a, const struct sb_index_entry *b) {
    return sb_digest_equal(&a->descriptor.digest, &b->descriptor.digest) &&
           a->descriptor.media_type == b->descriptor.media_type;
}

/* Takes the entry. */
static bool put(struct sb_image_index *index, struct sb_index_entry *entry) {
    const struct sb_index_entry *there = sb_image_index_find(index, &entry->platform);
    if (there && is_same(there, entry)) {
        free_entry(entry);
        return false;
    }
    sb_image_index_remove(index, &entry->platform);
    for (size_t i = index->n; i-- > 0;) /* it may have stood there without saying what it is for */
        if (!index->v[i].platform.os && is_same(&index->v[i], entry))
            sb_image_index_remove_at(index, i);
    add(index, entry);
    return true;
}

bool sb_image_index_put_entry(struct sb_image_index *index, const struct sb_index_entry *entry) {
    struct sb_index_entry copy;
    copy_entry(&copy, entry);
    if (entry->platform.os)
        return put(index, &copy);
    for (size_t i = 0; i < index->n; i++)
        if (json_equal(index->v[i].json, entry->json)) {
            free_entry(&copy);
            return false;
        }
    add(index, &copy);
    return true;
}

bool sb_image_index_put_descriptor(struct sb_image_index *index, const struct sb_descriptor *image,
                                   const struct sb_platform *platform, const char *artifact_type) {
    struct sb_index_entry entry = {.descriptor = *image, .json = sb_descriptor_json(image)};
    entry.descriptor.media_type = sb_media_static(image->media_type);
    sb_platform_copy(&entry.platform, platform);
    if (artifact_type)
        json_object_set_new(entry.json, "artifactType", json_string(artifact_type));
    json_object_set_new(entry.json, "platform", sb_platform_json(platform));
    return put(index, &entry);
}

int sb_image_index_put(struct sb_image_index *index, const struct sb_image *image,
                       struct sb_error *err) {
    sb_autoplatform struct sb_platform platform;
    if (!sb_platform_read(image->config, &platform)) {
        sb_fail(err, SB_E_FAILED, "%s does not say which platform it is for",
                sb_digest_text(&image->descriptor.digest).text);
        return sb_error_hint(err, "its config has no \"os\" or no \"architecture\"");
    }
    return sb_image_index_put_descriptor(index, &image->descriptor, &platform,
                                         image->artifact_type);
}

char *sb_image_index_platforms(const struct sb_image_index *index) {
    struct sb_buf text = {0};
    for (size_t i = 0; i < index->n; i++) {
        if (!index->v[i].platform.os)
            continue;
        sb_autofree char *one = sb_platform_text(&index->v[i].platform);
        sb_buf_addf(&text, "%s%s", text.len ? ", " : "", one);
    }
    return text.len ? sb_buf_steal(&text) : sb_strdup("");
}

/* ---- writing ---- */

struct sortable {
    struct sb_index_entry entry;
    size_t place;
};

static int compare(const void *a, const void *b) {
    const struct sortable *x = a, *y = b;
    bool one = x->entry.platform.os, other = y->entry.platform.os;
    int order = one != other ? other - one
                : one        ? sb_platform_compare(&x->entry.platform, &y->entry.platform)
                             : 0;
    return order ? order : x->place < y->place ? -1 : x->place > y->place;
}

static void sort(struct sb_image_index *index) {
    sb_autofree struct sortable *list = sb_alloc((index->n + 1) * sizeof *list);
    for (size_t i = 0; i < index->n; i++)
        list[i] = (struct sortable){index->v[i], i};
    qsort(list, index->n, sizeof *list, compare);
    for (size_t i = 0; i < index->n; i++)
        index->v[i] = list[i].entry;
}

/* Registries and tools that know Docker's formats alone take no OCI index. Annotations there are
 * none in its list. */
static bool is_docker(const struct sb_image_index *index) {
    bool docker = index->n > 0 && json_object_size(index->others) == 0;
    for (size_t i = 0; i < index->n && docker; i++) {
        const char *type = index->v[i].descriptor.media_type;
        docker = type && !strcmp(type, SB_MEDIA_DOCKER_MANIFEST) &&
                 !json_object_get(index->v[i].json, "annotations");
    }
    return docker;
}

int sb_image_index_write(struct sb_image_index *index, struct sb_buf *out, struct sb_error *err) {
    if (index->text) {
        sb_buf_adds(out, index->text);
        return 0;
    }
    sort(index);
    json_t *manifests = json_array();
    for (size_t i = 0; i < index->n; i++)
        json_array_append(manifests, index->v[i].json);
    struct sb_descriptor *descriptor = &index->descriptor;
    *descriptor = (struct sb_descriptor){.media_type = is_docker(index) ? SB_MEDIA_DOCKER_LIST
                                                                        : SB_MEDIA_INDEX};
    sb_autojson json_t *document = json_pack(
        "{s:i, s:s, s:O*, s:o}", "schemaVersion", 2, "mediaType", descriptor->media_type,
        "artifactType", json_object_get(index->others, "artifactType"), "manifests", manifests);
    if (index->others)
        json_object_update_missing(document, index->others);
    sb_json_write(document, out);
    descriptor->size = out->len;
    descriptor->digest = sb_digest_of(out->data, out->len);
    if (out->len <= SB_MANIFEST_LIMIT)
        return 0;
    return sb_fail(err, SB_E_FAILED, "the index would have %zu bytes, at most %u can be", out->len,
                   SB_MANIFEST_LIMIT);
}

int sb_image_index_save(struct sb_store *store, struct sb_image_index *index,
                        struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_image_index_write(index, &text, err) < 0)
        return -1;
    return sb_blob_put(store, text.data, text.len, &index->descriptor.digest, err);
}
