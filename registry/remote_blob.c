#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/text.h"
#include "registry/remote_private.h"

enum {
    PROGRESS = 1 << 20, /* bytes that make an attempt one that got somewhere */
    BREATH_MS = 200,    /* before it goes on there */
};

/* "/v2/team/app/blobs/sha256:…"; the caller's to free. */
static char *blob_target(const struct sb_remote *remote, const struct sb_digest *digest) {
    return sb_format("/v2/%s/blobs/%s", remote->repository, sb_digest_text(digest).text);
}

static bool parse_number(const char *text, uint64_t *out) {
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && errno == 0;
}

/* The size of the whole, as the answer to HEAD, or to GET for its first byte, has it. */
static const char *stated_size(const struct sb_http_response *response) {
    const char *range = sb_http_header(response, "content-range");
    const char *slash = range ? strchr(range, '/') : NULL;
    if (response->status == 206)
        return slash && strcmp(slash, "/*") != 0 ? slash + 1 : NULL;
    return sb_http_header(response, "content-length");
}

static int check_stated(const struct sb_http_response *response, const struct sb_descriptor *blob,
                        struct sb_error *err) {
    const char *length = stated_size(response);
    uint64_t size = 0;
    if (length && (!parse_number(length, &size) || size != blob->size))
        return sb_fail(err, SB_E_INTEGRITY, "the registry has %s bytes of it instead of %llu",
                       sb_text_shown(length).text, (unsigned long long)blob->size);
    return sb_remote_check_digest(response, &blob->digest, err) < 0 ? -1 : 0;
}

/* The head was all that was wanted: a server that ignores Range sends the whole. */
static int enough(void *data, const struct sb_http_response *response, struct sb_error *err) {
    bool *has = data;
    *has = response->status == 200 || response->status == 206;
    return *has ? sb_fail(err, SB_E_FAILED, "enough") : 0;
}

static int no_bytes(void *data, const void *bytes, size_t len, struct sb_error *err) {
    (void)data, (void)bytes, (void)len, (void)err;
    return 0;
}

/* 1: it has the blob; 0: response tells otherwise; -1. */
static int get_first_byte(struct sb_remote *remote, const char *target, const char *what,
                          struct sb_http_response *response, struct sb_error *err) {
    const struct sb_http_header range = {"Range", "bytes=0-0"};
    struct sb_http_request request = sb_remote_request(remote, "GET", target);
    bool has = false;
    request.headers = &range;
    request.header_count = 1;
    request.head = enough;
    request.sink = no_bytes;
    request.data = &has;
    struct sb_error failure = {0};
    int result = sb_remote_perform(remote, &request, what, response, &failure);
    if (has || result == 0)
        return has;
    if (err)
        *err = failure;
    return -1;
}

/* HEAD is refused by some registries where GET is allowed, and by what they redirect to. */
int sb_remote_blob_head(struct sb_remote *remote, const struct sb_descriptor *blob,
                        struct sb_error *err) {
    sb_autofree char *target = blob_target(remote, &blob->digest);
    struct sb_digest_text digest = sb_digest_text(&blob->digest);
    sb_autofree char *head = sb_format("HEAD blob %s", digest.text);
    sb_autofree char *get = sb_format("GET blob %s", digest.text);
    struct sb_http_request request = sb_remote_request(remote, "HEAD", target);
    sb_autoresponse struct sb_http_response response = {0};
    struct sb_error ignored = {0};
    const char *what = head;
    bool answered = sb_remote_once(remote, &request, &response, &ignored) == 0;
    if (!answered || (response.status != 200 && response.status != 404)) {
        sb_http_response_free(&response);
        what = get;
        if (get_first_byte(remote, target, what, &response, err) < 0)
            return -1;
    }
    if (response.status == 404)
        return 0;
    if (response.status != 200 && response.status != 206)
        return response.status == 416 && blob->size == 0
                   ? 1
                   : sb_remote_refused(remote, &response, what, err);
    return check_stated(&response, blob, err) < 0 ? sb_remote_context(remote, what, err) : 1;
}

/* ---- download ---- */

struct download {
    const struct sb_descriptor *blob;
    int (*sink)(void *data, const void *bytes, size_t len, struct sb_error *err);
    void *data;
    struct sb_sha256 sha;
    struct sb_remote *remote;
    const char *gave; /* a mirror whose bytes the sink got */
    uint64_t got;     /* bytes that the sink has */
    uint64_t skip;    /* of the answer under way: bytes that the sink has already */
    bool sink_failed; /* its error stands, whatever it is */
};

/* "bytes 100-199/1000" */
static int check_range(const char *value, struct download *download, struct sb_error *err) {
    unsigned long long first, last;
    char total[24] = "";
    if (!value || sscanf(value, "bytes %llu-%llu/%23s", &first, &last, total) != 3)
        return sb_fail(err, SB_E_NETWORK, "the registry does not say which part it sends");
    uint64_t size;
    if (strcmp(total, "*") != 0 && (!parse_number(total, &size) || size != download->blob->size))
        return sb_fail(err, SB_E_INTEGRITY, "the registry has %s bytes of it instead of %llu",
                       sb_text_shown(total).text, (unsigned long long)download->blob->size);
    if (first > download->got || last < first || last >= download->blob->size)
        return sb_fail(
            err, SB_E_NETWORK,
            "the registry sends the bytes %llu to %llu, where those from %llu were asked for",
            first, last, (unsigned long long)download->got);
    download->skip = download->got - first;
    return 0;
}

static int on_head(void *data, const struct sb_http_response *response, struct sb_error *err) {
    struct download *download = data;
    if (response->status < 200 || response->status > 299)
        return 0;
    const char *encoding = sb_http_header(response, "content-encoding");
    if (encoding && strcasecmp(encoding, "identity") != 0)
        return sb_fail(err, SB_E_NETWORK, "the registry sends it encoded as %s, unasked",
                       sb_text_shown(encoding).text);
    if (response->status == 206)
        return check_range(sb_http_header(response, "content-range"), download, err);
    if (response->status != 200)
        return sb_fail(err, SB_E_NETWORK, "an unexpected answer (status %d)", response->status);
    /* The whole, whatever was asked for. */
    download->skip = download->got;
    const char *length = sb_http_header(response, "content-length");
    uint64_t size;
    if (length && (!parse_number(length, &size) || size != download->blob->size))
        return sb_fail(err, SB_E_INTEGRITY, "the registry sends %s bytes instead of %llu",
                       sb_text_shown(length).text, (unsigned long long)download->blob->size);
    return 0;
}

static int on_bytes(void *data, const void *bytes, size_t len, struct sb_error *err) {
    struct download *download = data;
    size_t known = len < download->skip ? len : (size_t)download->skip;
    download->skip -= known;
    bytes = (const char *)bytes + known;
    len -= known;
    if (len > download->blob->size - download->got)
        return sb_fail(err, SB_E_INTEGRITY,
                       "the registry sends more than the %llu bytes of the blob",
                       (unsigned long long)download->blob->size);
    if (len == 0)
        return 0;
    sb_sha256_add(&download->sha, bytes, len);
    download->got += len;
    if (download->sink(download->data, bytes, len, err) == 0)
        return 0;
    download->sink_failed = true;
    return -1;
}

/* One attempt, from where the download stands. An answer that ends early is a failure. */
static int attempt(struct download *download, const struct sb_remote_source *source,
                   const char *target, struct sb_http_response *response, struct sb_error *err) {
    char value[48];
    snprintf(value, sizeof value, "bytes=%llu-", (unsigned long long)download->got);
    const struct sb_http_header range = {"Range", value};
    struct sb_http_request request = sb_remote_source_request(download->remote, source, target);
    request.headers = &range;
    request.header_count = download->got > 0;
    request.head = on_head;
    request.sink = on_bytes;
    request.data = download;
    int result = sb_remote_once(download->remote, &request, response, err);
    if (result < 0 || response->status < 200 || response->status > 299 ||
        download->got == download->blob->size)
        return result;
    sb_fail(err, SB_E_NETWORK, "the registry sent %llu of %llu bytes",
            (unsigned long long)download->got, (unsigned long long)download->blob->size);
    return sb_error_reason(err, SB_REASON_PASSING);
}

static bool complete(const struct download *download, int result, const struct sb_error *err) {
    return download->got == download->blob->size && !download->sink_failed &&
           (result == 0 || (err->code != SB_E_INTEGRITY && err->code != SB_E_INTERRUPTED));
}

static int download_from(void *data, const struct sb_remote_source *source, struct sb_retry *retry,
                         struct sb_http_response *response, struct sb_error *err) {
    struct download *download = data;
    struct sb_digest_text digest = sb_digest_text(&download->blob->digest);
    sb_autofree char *target =
        source->url ? sb_strdup(source->url) : sb_format("%s/blobs/%s", source->base, digest.text);
    for (;;) {
        uint64_t before = download->got;
        sb_error_clear(err);
        int result = attempt(download, source, target, response, err);
        if (source->mirror && download->got > before)
            download->gave = source->mirror;
        if (complete(download, result, err))
            return 0;
        if (download->sink_failed || (result < 0 && download->got == download->blob->size))
            return -2;
        if (download->got - before < PROGRESS || !sb_retry_worth(result, response, err))
            return result < 0 ? -1 : 1;
        sb_retry_progress(retry);
        sb_http_response_free(response);
        if (sb_remote_pause(download->remote, BREATH_MS, err) < 0)
            return -1;
    }
}

static int check_whole(struct sb_remote *remote, struct download *download, struct sb_error *err) {
    struct sb_digest digest = sb_sha256_finish(&download->sha);
    if (sb_digest_equal(&digest, &download->blob->digest))
        return 0;
    sb_autofree char *what = sb_format("GET blob %s", sb_digest_text(&download->blob->digest).text);
    sb_fail(err, SB_E_INTEGRITY, "what was received has the digest %s",
            sb_digest_text(&digest).text);
    return sb_remote_context(remote, what, err);
}

static int get_blob_from(struct sb_remote_sources *sources, struct download *download,
                         struct sb_error *err) {
    struct sb_remote *remote = download->remote;
    download->got = download->skip = 0;
    sb_sha256_start(&download->sha);
    struct sb_error failure = {0};
    int result = download->blob->size == 0
                     ? 0
                     : sb_remote_sources_try(remote, sources, "blob",
                                             sb_digest_text(&download->blob->digest).text,
                                             download_from, download, &failure);
    if (result == 0)
        result = check_whole(remote, download, &failure);
    if (result < 0 && failure.code == SB_E_INTEGRITY && download->gave) {
        sb_registry_add_trait(remote->registry, download->gave, SB_TRAIT_LIED);
        sb_error_hint(&failure, "some of it came from the mirror %s, which is not asked again",
                      sb_text_shown(download->gave).text);
    }
    if (result < 0 && err)
        *err = failure;
    return result;
}

static int get_blob(struct download *download, bool mirrors, struct sb_error *err) {
    sb_autosources struct sb_remote_sources sources = {0};
    sb_remote_sources(download->remote, mirrors, &sources);
    return get_blob_from(&sources, download, err);
}

int sb_remote_blob_get(struct sb_remote *remote, const struct sb_descriptor *blob,
                       int (*sink)(void *data, const void *bytes, size_t len, struct sb_error *err),
                       void *data, struct sb_error *err) {
    struct download download = {.remote = remote, .blob = blob, .sink = sink, .data = data};
    return get_blob(&download, true, err);
}

int sb_remote_blob_get_url(struct sb_remote *remote, const struct sb_descriptor *blob,
                           const char *url,
                           int (*sink)(void *data, const void *bytes, size_t len,
                                       struct sb_error *err),
                           void *data, struct sb_error *err) {
    struct download download = {.remote = remote, .blob = blob, .sink = sink, .data = data};
    struct sb_remote_source source = {.url = url, .host = remote->host};
    struct sb_remote_sources sources = {.v = &source, .n = 1};
    return get_blob_from(&sources, &download, err);
}

static int add_bytes(void *data, const void *bytes, size_t len, struct sb_error *err) {
    (void)err;
    sb_buf_add(data, bytes, len);
    return 0;
}

int sb_remote_blob_read(struct sb_remote *remote, const struct sb_descriptor *blob, size_t limit,
                        struct sb_buf *out, struct sb_error *err) {
    if (blob->size > limit)
        return sb_fail(err, SB_E_INTEGRITY,
                       "registry %s: repository %s: the blob %s has %llu bytes, more than %zu",
                       remote->host, remote->repository, sb_digest_text(&blob->digest).text,
                       (unsigned long long)blob->size, limit);
    struct sb_error failure = {0};
    struct download download = {.remote = remote, .blob = blob, .sink = add_bytes, .data = out};
    size_t before = out->len;
    int result = get_blob(&download, true, &failure);
    if (result < 0) {
        out->len = before;
        if (failure.code ==
            SB_E_INTEGRITY) /* a mirror's, perhaps: the registry itself may do better */
            result = get_blob(&download, false, &failure);
    }
    if (result < 0)
        out->len = before;
    if (result < 0 && err)
        *err = failure;
    return result;
}
