#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "layers/descriptor.h"
#include "registry/remote_private.h"
#include "registry/ways.h"

static const char accepted[] =
    SB_MEDIA_MANIFEST ", " SB_MEDIA_INDEX ", " SB_MEDIA_DOCKER_MANIFEST ", " SB_MEDIA_DOCKER_LIST;

void sb_manifest_free(struct sb_manifest *manifest) {
    free(manifest->media_type);
    sb_buf_free(&manifest->bytes);
    *manifest = (struct sb_manifest){0};
}

/* ---- what was got ---- */

static bool is_schema_1(const char *type, const json_t *document) {
    return strstr(type, "docker.distribution.manifest.v1") ||
           sb_json_integer(document, "schemaVersion", 2) == 1;
}

/* The same bytes must not mean one thing to sbuild and another to the next reader (CVE-2021-41190):
 * the type that the server says, the type within, and the keys must agree. */
static int check_kind(const char *type, const json_t *document, struct sb_error *err) {
    if (is_schema_1(type, document)) {
        sb_fail(err, SB_E_NETWORK,
                "this is a Docker manifest of schema 1, which sbuild doesn't read");
        return sb_error_hint(err, "push the image again with a current tool");
    }
    enum sb_media_kind kind = sb_media_kind(type);
    if (kind != SB_MEDIA_KIND_MANIFEST && kind != SB_MEDIA_KIND_INDEX)
        return 0;
    const char *within = sb_json_string(document, "mediaType", type);
    if (strcmp(within, type) != 0)
        return sb_fail(err, SB_E_INTEGRITY, "the registry says that it is %s, it itself says %s",
                       sb_text_shown(type).text, sb_text_shown(within).text);
    bool index = json_object_get(document, "manifests");
    bool manifest = json_object_get(document, "layers") || json_object_get(document, "config");
    if (kind == SB_MEDIA_KIND_INDEX ? manifest : index)
        return sb_fail(err, SB_E_INTEGRITY, "it is both an index and a manifest");
    return 0;
}

/* Content-Type without parameters; some servers say no more than that it is JSON. */
static char *stated_type(const struct sb_http_response *response, const json_t *document) {
    const char *value = sb_http_header(response, "content-type");
    sb_autofree char *type = sb_strndup(value ? value : "", strcspn(value ? value : "", "; \t"));
    bool vague = !*type || !strcasecmp(type, "application/json") ||
                 !strcasecmp(type, "application/octet-stream") ||
                 !strncasecmp(type, "text/plain", 10);
    if (!vague)
        return sb_steal(type);
    const char *within = sb_json_string(document, "mediaType", NULL);
    if (within)
        return sb_strdup(within);
    return sb_strdup(json_object_get(document, "manifests") ? SB_MEDIA_INDEX : SB_MEDIA_MANIFEST);
}

static int take_manifest(const char *reference, struct sb_http_response *response,
                         struct sb_manifest *out, struct sb_error *err) {
    struct sb_digest wanted;
    out->descriptor.digest = sb_digest_of(response->body.data, response->body.len);
    out->descriptor.size = response->body.len;
    if (sb_digest_parse(reference, &wanted, NULL) == 0 &&
        !sb_digest_equal(&wanted, &out->descriptor.digest))
        return sb_fail(err, SB_E_INTEGRITY, "what the registry sent has the digest %s",
                       sb_digest_text(&out->descriptor.digest).text);
    if (sb_remote_check_digest(response, &out->descriptor.digest, err) < 0)
        return -1;
    sb_autojson json_t *document = sb_remote_json(response, err);
    if (!document)
        return -1;
    sb_autofree char *type = stated_type(response, document);
    if (check_kind(type, document, err) < 0)
        return -1;
    out->descriptor.media_type = sb_media_static(type);
    out->media_type = sb_steal(type);
    out->bytes = response->body;
    response->body = (struct sb_buf){0};
    return 0;
}

struct wanted {
    struct sb_remote *remote;
    const char *reference;
    struct sb_manifest *out;
};

static int get_from(void *data, const struct sb_remote_source *source, struct sb_retry *retry,
                    struct sb_http_response *response, struct sb_error *err) {
    (void)retry;
    const struct wanted *w = data;
    sb_autofree char *target = sb_format("%s/manifests/%s", source->base, w->reference);
    const struct sb_http_header accept = {"Accept", accepted};
    struct sb_http_request request = sb_remote_source_request(w->remote, source, target);
    request.headers = &accept;
    request.header_count = 1;
    request.limit = SB_MANIFEST_LIMIT;
    if (sb_remote_once(w->remote, &request, response, err) < 0)
        return -1;
    if (response->status != 200)
        return 1;
    if (take_manifest(w->reference, response, w->out, err) == 0)
        return 0;
    sb_manifest_free(w->out);
    return -1;
}

static int get_manifest(struct sb_remote *remote, const char *reference, bool mirrors,
                        struct sb_manifest *out, struct sb_error *err) {
    *out = (struct sb_manifest){0};
    sb_autosources struct sb_remote_sources sources = {0};
    sb_remote_sources(remote, mirrors, &sources);
    struct wanted wanted = {remote, reference, out};
    return sb_remote_sources_try(remote, &sources, "manifest", reference, get_from, &wanted, err);
}

int sb_remote_manifest_get(struct sb_remote *remote, const char *reference, struct sb_manifest *out,
                           struct sb_error *err) {
    return get_manifest(remote, reference, true, out, err);
}

int sb_remote_manifest_get_own(struct sb_remote *remote, const char *reference,
                               struct sb_manifest *out, struct sb_error *err) {
    return get_manifest(remote, reference, false, out, err);
}

/* ---- HEAD ---- */

/* 1, or 0 when the answer does not say enough. */
static int take_head(const char *reference, const struct sb_http_response *response,
                     struct sb_descriptor *out) {
    const char *digest = sb_http_header(response, "docker-content-digest");
    const char *length = sb_http_header(response, "content-length");
    const char *value = sb_http_header(response, "content-type");
    struct sb_digest wanted;
    if (!digest || !length || !value || sb_digest_parse(digest, &out->digest, NULL) < 0)
        return 0;
    if (sb_digest_parse(reference, &wanted, NULL) == 0 && !sb_digest_equal(&wanted, &out->digest))
        return 0; /* GET tells what is wrong */
    char *end;
    out->size = strtoull(length, &end, 10);
    sb_autofree char *type = sb_strndup(value, strcspn(value, "; \t"));
    out->media_type = sb_media_static(type);
    return out->media_type && *length && !*end && out->size > 0;
}

/* One attempt: 1, 0 when it isn't there, -1 when only GET can tell: HEAD is refused by some
 * registries where GET is allowed, by what they redirect to, and by some proxies: by any status, or
 * none. That there is nothing is believed at once where a tag is to be put, and most are new. */
static int try_head(struct sb_remote *remote, const char *reference, struct sb_descriptor *out) {
    sb_autofree char *target = sb_format("/v2/%s/manifests/%s", remote->repository, reference);
    const struct sb_http_header accept = {"Accept", accepted};
    struct sb_http_request request = sb_remote_request(remote, "HEAD", target);
    request.headers = &accept;
    request.header_count = 1;
    sb_autoresponse struct sb_http_response response = {0};
    struct sb_error ignored = {0};
    if (sb_remote_once(remote, &request, &response, &ignored) < 0)
        return -1;
    if (response.status == 404 && atomic_load(&remote->push))
        return 0;
    return response.status == 200 && take_head(reference, &response, out) ? 1 : -1;
}

int sb_remote_manifest_head(struct sb_remote *remote, const char *reference,
                            struct sb_descriptor *out, struct sb_error *err) {
    *out = (struct sb_descriptor){0};
    bool vain = sb_registry_has_trait(remote->registry, remote->host, SB_TRAIT_NO_HEAD);
    int found = vain ? -1 : try_head(remote, reference, out);
    if (found >= 0)
        return found;
    struct sb_error failure = {0};
    struct sb_manifest manifest = {0};
    int result = sb_remote_manifest_get_own(remote, reference, &manifest, &failure);
    *out = manifest.descriptor;
    sb_manifest_free(&manifest);
    if (result == 0) {
        sb_registry_add_trait(remote->registry, remote->host, SB_TRAIT_NO_HEAD);
        return 1;
    }
    if (failure.code == SB_E_NOT_FOUND)
        return 0;
    if (err)
        *err = failure;
    return -1;
}

/* ---- PUT, DELETE ---- */

/* A tag that may not be moved: fine when it names these bytes already. */
static int immutable(struct sb_remote *remote, const char *tag, const struct sb_digest *digest,
                     struct sb_error *err) {
    struct sb_descriptor there;
    int found = sb_remote_manifest_head(remote, tag, &there, err);
    if (found < 0)
        return -1;
    if (found && sb_digest_equal(&there.digest, digest))
        return 0;
    sb_fail(err, SB_E_NETWORK,
            "registry %s: repository %s: the tag %s is immutable, and names %s already",
            remote->host, remote->repository, tag,
            found ? sb_digest_text(&there.digest).text : "another image");
    sb_error_reason(err, SB_REASON_IMMUTABLE);
    return sb_error_hint(err,
                         "push under a tag that is not taken yet, or allow tags to be moved in "
                         "the repository's settings");
}

/* One that is to be put, and on what condition. */
struct put {
    struct sb_remote *remote;
    const char *reference, *media_type;
    const void *bytes;
    size_t len;
    const struct sb_http_header *condition; /* NULL: none */
};

static int took(const struct put *p, const struct sb_http_response *response, const char *what,
                struct sb_error *err) {
    struct sb_remote *remote = p->remote;
    struct sb_digest digest = sb_digest_of(p->bytes, p->len);
    int status = response->status;
    if (p->condition && (status == 412 || status == 304))
        return 0;
    if (sb_registry_tag_immutable(status, sb_buf_text(&response->body), response->body.len))
        return immutable(remote, p->reference, &digest, err) < 0 ? -1 : 1;
    if (status != 201 && status != 200 && status != 202) {
        sb_remote_refused(remote, response, what, err);
        if (sb_remote_said(response, "MANIFEST_BLOB_UNKNOWN") ||
            sb_remote_said(response, "BLOB_UNKNOWN"))
            sb_error_reason(err, SB_REASON_MISSING);
        return -1;
    }
    if (sb_remote_check_digest(response, &digest, err) < 0)
        return sb_remote_context(remote, what, err);
    return 1;
}

/* 1: done, 0: the condition was not met, -1. */
static int send_manifest(const struct put *p, bool *out_subject, struct sb_error *err) {
    struct sb_remote *remote = p->remote;
    sb_autofree char *target = sb_format("/v2/%s/manifests/%s", remote->repository, p->reference);
    sb_autofree char *what = sb_format("PUT manifest %s", p->reference);
    struct sb_http_header headers[2] = {{"Content-Type", p->media_type}};
    sb_remote_will_push(remote);
    struct sb_http_request request = sb_remote_request(remote, "PUT", target);
    if (p->condition)
        headers[1] = *p->condition;
    request.headers = headers;
    request.header_count = p->condition ? 2 : 1;
    request.body_kind = SB_HTTP_BODY_BYTES;
    request.body = p->bytes;
    request.body_size = p->len;
    sb_autoresponse struct sb_http_response response = {0};
    if (sb_remote_perform(remote, &request, what, &response, err) < 0)
        return -1;
    if (out_subject)
        *out_subject = sb_http_header(&response, "oci-subject") != NULL;
    return took(p, &response, what, err);
}

int sb_remote_manifest_put(struct sb_remote *remote, const char *reference, const char *media_type,
                           const void *bytes, size_t len, struct sb_error *err) {
    return sb_remote_manifest_send(remote, reference, media_type, bytes, len, NULL, err);
}

int sb_remote_manifest_send(struct sb_remote *remote, const char *reference, const char *media_type,
                            const void *bytes, size_t len, bool *out_subject,
                            struct sb_error *err) {
    const struct put put = {remote, reference, media_type, bytes, len, NULL};
    return send_manifest(&put, out_subject, err) < 0 ? -1 : 0;
}

int sb_remote_manifest_put_if(struct sb_remote *remote, const char *tag,
                              const struct sb_digest *before, const char *media_type,
                              const void *bytes, size_t len, struct sb_error *err) {
    sb_autofree char *etag = before ? sb_format("\"%s\"", sb_digest_text(before).text) : NULL;
    const struct sb_http_header condition = {before ? "If-Match" : "If-None-Match",
                                             before ? etag : "*"};
    struct put put = {remote, tag, media_type, bytes, len, &condition};
    int done = send_manifest(&put, NULL, err);
    if (done != 0)
        return done;
    /* Its first answer may have been lost; or what it compares is something else than digests. */
    const struct sb_digest digest = sb_digest_of(bytes, len);
    struct sb_descriptor there;
    int found = sb_remote_manifest_head(remote, tag, &there, err);
    if (found < 0)
        return -1;
    if (found && sb_digest_equal(&there.digest, &digest))
        return 1;
    if (before ? !found || !sb_digest_equal(&there.digest, before) : found)
        return 0;
    put.condition = NULL;
    return send_manifest(&put, NULL, err);
}

int sb_remote_manifest_delete(struct sb_remote *remote, const char *reference,
                              struct sb_error *err) {
    sb_autofree char *target = sb_format("/v2/%s/manifests/%s", remote->repository, reference);
    sb_autofree char *what = sb_format("DELETE manifest %s", reference);
    struct sb_http_request request = sb_remote_request(remote, "DELETE", target);
    request.scope = remote->scope_delete;
    sb_autoresponse struct sb_http_response response = {0};
    if (sb_remote_perform(remote, &request, what, &response, err) < 0)
        return -1;
    if (response.status == 404)
        return 0;
    if (response.status != 202 && response.status != 200 && response.status != 204)
        return sb_remote_refused(remote, &response, what, err);
    return 1;
}
