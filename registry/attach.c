#include "registry/attach.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "layers/descriptor.h"
#include "registry/remote_private.h"

enum {
    REFERRERS_LIMIT = 10000, /* descriptors */
    PAGES = 1000,
    UPDATES = 5, /* of the fallback tag, when others write it too */
};

static char *fallback_tag(const struct sb_digest *subject) {
    return sb_format("sha256-%s", sb_digest_hex(subject).text);
}

static bool of_type(const json_t *descriptor, const char *artifact_type) {
    return !artifact_type || !strcmp(sb_json_string(descriptor, "artifactType", ""), artifact_type);
}

/* Appends the descriptors of an index; those that are malformed are an error. */
static int add_referrers(const json_t *index, const char *artifact_type, json_t *out,
                         struct sb_error *err) {
    const json_t *manifests = json_object_get(index, "manifests");
    if (!json_is_array(manifests))
        return sb_fail(err, SB_E_NETWORK, "the list of referrers has no \"manifests\"");
    if (json_array_size(out) + json_array_size(manifests) > REFERRERS_LIMIT)
        return sb_fail(err, SB_E_NETWORK, "there are more than %d referrers", REFERRERS_LIMIT);
    for (size_t i = 0; i < json_array_size(manifests); i++) {
        json_t *descriptor = json_array_get(manifests, i);
        struct sb_descriptor ignored;
        if (sb_descriptor_parse(descriptor, &ignored, err) < 0)
            return sb_error_context(err, "the list of referrers");
        if (of_type(descriptor, artifact_type))
            json_array_append(out, descriptor);
    }
    return 0;
}

/* The index at the fallback tag; an empty one when there is none. */
static json_t *read_fallback(struct sb_remote *remote, const struct sb_digest *subject,
                             struct sb_error *err) {
    sb_autofree char *tag = fallback_tag(subject);
    struct sb_manifest manifest;
    struct sb_error failure = {0};
    if (sb_remote_manifest_get(remote, tag, &manifest, &failure) < 0) {
        if (failure.code == SB_E_NOT_FOUND)
            return json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType", SB_MEDIA_INDEX,
                             "manifests");
        if (err)
            *err = failure;
        return NULL;
    }
    json_t *index = sb_json_parse(manifest.bytes.data, manifest.bytes.len, err);
    bool right = sb_media_kind(manifest.media_type) == SB_MEDIA_KIND_INDEX;
    sb_manifest_free(&manifest);
    if (index && right && json_is_array(json_object_get(index, "manifests")))
        return index;
    json_decref(index);
    sb_fail(err, SB_E_NETWORK, "registry %s: repository %s: the tag %s is not an index",
            remote->host, remote->repository, tag);
    return NULL;
}

/* 1: got, 0: the registry has no such API, -1. */
static int ask_api(struct sb_remote *remote, const struct sb_digest *subject,
                   const char *artifact_type, json_t *out, struct sb_error *err) {
    static const char what[] = "GET referrers";
    /* An artifact type is a media type: only "+" has a meaning of its own in a query. */
    sb_autobuf struct sb_buf query = {0};
    for (const char *p = artifact_type; p && *p; p++)
        sb_buf_addf(&query, strchr("+&#%? ", *p) ? "%%%02X" : "%c", *p);
    sb_autofree char *target =
        sb_format("/v2/%s/referrers/%s%s%s", remote->repository, sb_digest_text(subject).text,
                  artifact_type ? "?artifactType=" : "", sb_buf_text(&query));
    const struct sb_http_header accept = {"Accept", SB_MEDIA_INDEX};
    for (int pages = 0; target; pages++) {
        struct sb_http_request request = sb_remote_request(remote, "GET", target);
        request.headers = &accept;
        request.header_count = 1;
        request.limit = SB_MANIFEST_LIMIT;
        sb_autoresponse struct sb_http_response response = {0};
        if (sb_remote_perform(remote, &request, what, &response, err) < 0)
            return -1;
        int status = response.status;
        if (pages == 0 && (status == 404 || status == 405 || status == 400 || status == 501))
            return 0;
        if (status != 200)
            return sb_remote_refused(remote, &response, what, err);
        sb_autojson json_t *index = sb_remote_json(&response, err);
        sb_autofree char *next = NULL;
        if (!index || add_referrers(index, artifact_type, out, err) < 0 ||
            sb_remote_next_page(remote, target, &response, &next, err) < 0)
            return sb_remote_context(remote, what, err);
        if (next && (pages >= PAGES || !strcmp(next, target))) {
            sb_fail(err, SB_E_NETWORK, "the list of referrers does not end");
            return sb_remote_context(remote, what, err);
        }
        free(target);
        target = sb_steal(next);
    }
    return 1;
}

int sb_attached_list(struct sb_remote *remote, const struct sb_digest *image,
                     const char *artifact_type, json_t **out, struct sb_error *err) {
    struct sb_registry *registry = remote->registry;
    sb_autojson json_t *list = json_array();
    *out = NULL;
    if (!sb_registry_has_trait(registry, remote->host, SB_TRAIT_NO_REFERRERS)) {
        int known = ask_api(remote, image, artifact_type, list, err);
        if (known < 0)
            return -1;
        if (known) {
            *out = sb_steal(list);
            return 0;
        }
        sb_registry_add_trait(registry, remote->host, SB_TRAIT_NO_REFERRERS);
    }
    sb_autojson json_t *index = read_fallback(remote, image, err);
    if (!index || add_referrers(index, artifact_type, list, err) < 0)
        return -1;
    *out = sb_steal(list);
    return 0;
}

/* ---- finding one ---- */

bool sb_attached_is(const struct sb_buf *manifest, const char *artifact_type,
                    const struct sb_digest *image) {
    sb_autojson json_t *value = sb_json_parse(sb_buf_text(manifest), manifest->len, NULL);
    const char *text = sb_json_string(json_object_get(value, "subject"), "digest", "");
    struct sb_digest subject;
    return of_type(value, artifact_type) &&
           (!image ||
            (sb_digest_parse(text, &subject, NULL) == 0 && sb_digest_equal(&subject, image)));
}

/* True when what is there is wanted; what can't be had is not. */
static bool look_at(struct sb_remote *remote, const char *reference, const char *artifact_type,
                    const struct sb_digest *image, struct sb_descriptor *out) {
    struct sb_manifest manifest = {0};
    struct sb_error ignored = {0};
    bool found = sb_remote_manifest_get(remote, reference, &manifest, &ignored) == 0 &&
                 sb_attached_is(&manifest.bytes, artifact_type, image);
    if (found)
        *out = manifest.descriptor;
    sb_manifest_free(&manifest);
    return found;
}

/* Registries list them in the order they came. */
int sb_attached_find(struct sb_remote *remote, const struct sb_digest *image,
                     const char *artifact_type, const char *tag, struct sb_descriptor *out,
                     struct sb_error *err) {
    sb_autojson json_t *list = NULL;
    if (tag && look_at(remote, tag, artifact_type, image, out))
        return 1;
    if (sb_attached_list(remote, image, artifact_type, &list, err) < 0)
        return -1;
    for (size_t i = json_array_size(list); i-- > 0;) {
        const char *digest = sb_json_string(json_array_get(list, i), "digest", "");
        if (look_at(remote, digest, artifact_type, image, out))
            return 1;
    }
    return 0;
}

/* ---- writing ---- */

/* What the index at the fallback tag says of a manifest; NULL when it has no subject. */
static json_t *make_descriptor(const json_t *manifest, const char *media_type, size_t len,
                               const struct sb_digest *digest) {
    json_t *out = json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest",
                            sb_digest_text(digest).text, "size", (json_int_t)len);
    const char *config = sb_json_string(json_object_get(manifest, "config"), "mediaType", NULL);
    const char *type = sb_json_string(manifest, "artifactType", config);
    if (type)
        json_object_set_new(out, "artifactType", json_string(type));
    json_t *annotations = json_object_get(manifest, "annotations");
    if (json_is_object(annotations))
        json_object_set(out, "annotations", annotations);
    return out;
}

static bool lists(const json_t *index, const char *digest) {
    const json_t *manifests = json_object_get(index, "manifests");
    for (size_t i = 0; i < json_array_size(manifests); i++)
        if (!strcmp(sb_json_string(json_array_get(manifests, i), "digest", ""), digest))
            return true;
    return false;
}

/* Read, add, write, and read again: nothing keeps two writers apart, and who comes second must not
 * take the first one's entry away for good. */
static int update_fallback(struct sb_remote *remote, const struct sb_digest *subject,
                           json_t *descriptor, struct sb_error *err) {
    sb_autofree char *tag = fallback_tag(subject);
    const char *digest = sb_json_string(descriptor, "digest", "");
    struct sb_retry retry = sb_remote_retry(remote);
    for (int i = 0; i < UPDATES; i++) {
        sb_autojson json_t *index = read_fallback(remote, subject, err);
        if (!index)
            return -1;
        if (lists(index, digest))
            return 0;
        json_array_append(json_object_get(index, "manifests"), descriptor);
        sb_autobuf struct sb_buf bytes = {0};
        sb_json_write(index, &bytes);
        if (bytes.len > SB_MANIFEST_LIMIT)
            return sb_fail(err, SB_E_NETWORK, "registry %s: repository %s: the index %s is full",
                           remote->host, remote->repository, tag);
        if (sb_remote_manifest_put(remote, tag, SB_MEDIA_INDEX, bytes.data, bytes.len, err) < 0)
            return -1;
        if (i == 0)
            continue;
        /* Someone else's write was in between: not at the same pace again. */
        struct sb_error again = {.code = SB_E_NETWORK, .reason = SB_REASON_PASSING};
        if (sb_retry_again(&retry, -1, NULL, &again) < 0) {
            *err = again;
            return -1;
        }
    }
    return sb_fail(err, SB_E_NETWORK,
                   "registry %s: repository %s: the index %s is written by others all the time",
                   remote->host, remote->repository, tag);
}

int sb_attached_put_bytes(struct sb_remote *remote, const char *media_type, const void *bytes,
                          size_t len, struct sb_error *err) {
    const struct sb_digest digest = sb_digest_of(bytes, len);
    sb_autojson json_t *manifest = sb_json_parse(bytes, len, err);
    if (!manifest)
        return sb_error_context(err, "the manifest to be put");
    struct sb_descriptor subject;
    if (sb_descriptor_parse(json_object_get(manifest, "subject"), &subject, err) < 0)
        return sb_error_context(err, "the manifest to be put: subject");
    bool understood = false;
    if (sb_remote_manifest_send(remote, sb_digest_text(&digest).text, media_type, bytes, len,
                                &understood, err) < 0)
        return -1;
    if (understood)
        return 0;
    sb_autojson json_t *descriptor = make_descriptor(manifest, media_type, len, &digest);
    return update_fallback(remote, &subject.digest, descriptor, err);
}

int sb_attached_put(struct sb_remote *remote, struct sb_store *store,
                    const struct sb_descriptor *manifest, struct sb_error *err) {
    sb_autobuf struct sb_buf bytes = {0};
    if (sb_blob_read(store, manifest, SB_MANIFEST_LIMIT, &bytes, err) < 0)
        return -1;
    return sb_attached_put_bytes(remote, manifest->media_type, bytes.data, bytes.len, err);
}
