/*
 * Sending one blob. A small one goes in one PUT. A larger one goes in chunks, so that what is sent
 * again after a failure is one chunk at most: PATCH after PATCH, then an empty PUT with the digest.
 * After a failure the registry is asked how far it got.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "registry/remote_private.h"
#include "registry/ways.h"

enum {
    SMALL_CHUNK = 5 << 20, /* where large bodies are refused */
    RESTARTS = 3,          /* from the first byte, in a new session */
};

struct upload {
    struct sb_remote *remote;
    struct sb_remote_upload in;
    bool whole; /* in.blob is what it will be */
    struct sb_session session;
    struct sb_registry_ways ways;
    struct sb_retry retry;
    uint64_t sent;     /* the offset behind all that this session was ever sent */
    uint64_t reported; /* progress told so far */
    int restarts, refusals;
};

static void report(struct upload *u, uint64_t sent) {
    if (u->in.progress && sent > u->reported)
        u->in.progress(u->in.data, sent);
    u->reported = sent > u->reported ? sent : u->reported;
}

static uint64_t chunk_size(const struct upload *u) {
    struct sb_registry *registry = u->remote->registry;
    const char *host = u->remote->host;
    uint64_t chunk = registry->chunk;
    if (sb_registry_has_trait(registry, host, SB_TRAIT_SMALL_BODIES))
        chunk = SMALL_CHUNK;
    else if (sb_registry_has_trait(registry, host, SB_TRAIT_ONE_PUT))
        return UINT64_MAX;
    uint64_t least =
        u->ways.min_chunk > u->session.min_chunk ? u->ways.min_chunk : u->session.min_chunk;
    return chunk > least ? chunk : least;
}

uint64_t sb_remote_upload_chunk(const struct sb_remote *remote) {
    uint64_t least = sb_registry_ways(remote->host).min_chunk;
    return remote->registry->chunk > least ? remote->registry->chunk : least;
}

/* What still grows: waits until it is whole, or has another chunk. */
static int await(struct upload *u, uint64_t chunk, struct sb_error *err) {
    uint64_t offset = u->session.offset;
    if (u->whole)
        return 0;
    int rc = u->in.more(u->in.data, chunk < UINT64_MAX - offset ? offset + chunk : UINT64_MAX,
                        &u->in.blob, &u->in.fd, err);
    u->whole = rc > 0;
    return rc < 0 ? -1 : 0;
}

/* ---- one request ---- */

/* A PUT with the digest ends the upload; session targets may have a query already. */
static char *closing_target(const struct upload *u) {
    const char *target = u->session.target;
    return sb_format("%s%cdigest=%s", target, strchr(target, '?') ? '&' : '?',
                     sb_digest_text(&u->in.blob.digest).text);
}

/* Some registries read the whole blob again before they answer, to hash or to move it. */
static int closing_wait(const struct upload *u) {
    int stall = u->remote->registry->options.http.stall_seconds;
    uint64_t more = u->in.blob.size >> 24; /* 16 MiB a second */
    return (stall > 0 ? stall : 30) * 2 + (more < 3600 ? (int)more : 3600);
}

/* Sends size bytes from where the session stands. */
static int send_part(struct upload *u, const char *method, const char *target, uint64_t size,
                     struct sb_http_response *response, struct sb_error *err) {
    uint64_t offset = u->session.offset;
    char range[64];
    snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)offset,
             (unsigned long long)(offset + size - 1));
    const struct sb_http_header headers[] = {{"Content-Type", "application/octet-stream"},
                                             {"Content-Range", range}};
    struct sb_http_request request = sb_remote_request(u->remote, method, target);
    request.headers = headers;
    request.header_count = strcmp(method, "PATCH") == 0 ? 2 : 1;
    request.body_kind = size ? SB_HTTP_BODY_FILE : SB_HTTP_BODY_BYTES;
    request.body = "";
    request.body_fd = u->in.fd;
    request.body_offset = offset;
    request.body_size = size;
    request.whole = true;
    if (strcmp(method, "PUT") == 0)
        request.wait_seconds = closing_wait(u);
    if (u->sent < offset + size)
        u->sent = offset + size;
    return sb_remote_once(u->remote, &request, response, err);
}

/* ---- after a failure: err tells of it, and stands when nothing helps ---- */

/* Forgets the session; the next round opens another and starts with the first byte. */
static int restart(struct upload *u) {
    sb_session_cancel(&u->session);
    u->session.offset = u->sent = 0;
    return ++u->restarts <= RESTARTS ? 0 : -1;
}

/* Asks how far the registry got. A session that is gone may have ended well: the answer to the last
 * PUT was lost, then. 1: it has, 0: go on from where the session stands, -1. */
static int recover(struct upload *u, struct sb_error *err) {
    struct sb_error failure = {0};
    int result = 0;
    if (!u->ways.range_stale) {
        result = sb_session_ask(&u->session, u->sent, &failure);
        if (result == 0 && u->session.target)
            return 0;
    }
    if (result == 0 && u->whole && u->sent == u->in.blob.size)
        result = sb_remote_blob_head(u->remote, &u->in.blob, &failure);
    if (result < 0)
        *err = failure;
    return result ? result : restart(u);
}

/* A part was refused, which another way of sending may change. As recover. */
static int try_otherwise(struct upload *u, const struct sb_http_response *response, bool chunked,
                         struct sb_error *err) {
    struct sb_registry *registry = u->remote->registry;
    const char *host = u->remote->host;
    int status = response->status;
    bool digest_wrong = status == 400 && sb_remote_said(response, "DIGEST_INVALID");
    if (digest_wrong)
        err->code = SB_E_INTEGRITY;
    if (status < 400 || status == 401 || status == 403 || status == 407 || status == 429 ||
        status >= 500)
        return -1;
    if (status == 413 && !sb_registry_has_trait(registry, host, SB_TRAIT_SMALL_BODIES)) {
        sb_registry_add_trait(registry, host, SB_TRAIT_SMALL_BODIES);
        return restart(u);
    }
    if (++u->refusals == 1 && !digest_wrong)
        return recover(u, err);
    if (!chunked || sb_registry_has_trait(registry, host, SB_TRAIT_ONE_PUT))
        return -1;
    sb_registry_add_trait(registry, host, SB_TRAIT_ONE_PUT);
    return restart(u);
}

/* ---- the whole ---- */

/* What follows from an answer, or none, that is not a success. As recover. */
static int fail_part(struct upload *u, int result, const struct sb_http_response *response,
                     bool chunked, const char *what, struct sb_error *err) {
    int again = sb_retry_again(&u->retry, result, response, err);
    if (again < 0)
        return -1;
    if (result == 0) {
        sb_remote_refused(u->remote, response, what, err);
    } else {
        if (again == 0)
            sb_retry_context(&u->retry, err);
        sb_remote_context(u->remote, what, err);
    }
    if (again)
        return recover(u, err);
    return result == 0 ? try_otherwise(u, response, chunked, err) : -1;
}

static char *describe(const struct upload *u, bool close, uint64_t size) {
    return sb_format("%s blob %s, %llu bytes from %llu", close ? "PUT" : "PATCH",
                     u->whole ? sb_digest_text(&u->in.blob.digest).text : "that is being made",
                     (unsigned long long)size, (unsigned long long)u->session.offset);
}

/* One request and what follows from it. 1: the registry has the blob, 0: go on, -1. */
static int step(struct upload *u, struct sb_error *err) {
    uint64_t offset = u->session.offset, chunk = chunk_size(u);
    sb_error_clear(err);
    if (await(u, chunk, err) < 0)
        return -1;
    uint64_t left = u->in.blob.size - offset;
    bool close = u->whole && (left == 0 || (offset == 0 && left <= chunk));
    uint64_t size = close || left < chunk ? left : chunk;
    sb_autofree char *target = close ? closing_target(u) : sb_strdup(u->session.target);
    sb_autofree char *what = describe(u, close, size);
    sb_autoresponse struct sb_http_response response = {0};
    int result = send_part(u, close ? "PUT" : "PATCH", target, size, &response, err);
    int status = result == 0 ? response.status : 0;
    if (status < 200 || status > 204)
        return fail_part(u, result, &response, !close || offset > 0, what, err);
    if (close) {
        if (sb_remote_check_digest(&response, &u->in.blob.digest, err) < 0)
            return sb_remote_context(u->remote, what, err);
        return 1;
    }
    sb_retry_progress(&u->retry);
    report(u, offset + size);
    return sb_session_accepted(&u->session, &response, offset + size, err);
}

static int verify(struct upload *u, struct sb_error *err) {
    struct sb_retry retry = sb_remote_retry(u->remote);
    for (;;) {
        int there = sb_remote_blob_head(u->remote, &u->in.blob, err);
        if (there != 0)
            return there < 0 ? -1 : 0;
        sb_fail(err, SB_E_NETWORK,
                "registry %s: repository %s: the blob %s was accepted, but is not there",
                u->remote->host, u->remote->repository, sb_digest_text(&u->in.blob.digest).text);
        sb_error_reason(err, SB_REASON_PASSING);
        if (sb_retry_again(&retry, -1, NULL, err) <= 0)
            return -1;
    }
}

int sb_remote_blob_put(struct sb_remote *remote, const struct sb_remote_upload *in,
                       struct sb_error *err) {
    sb_remote_will_push(remote);
    struct upload u = {
        .remote = remote,
        .in = *in,
        .whole = !in->more,
        .session = {.remote = remote, .target = in->session ? sb_strdup(in->session) : NULL},
        .ways = sb_registry_ways(remote->host),
        .retry = sb_remote_retry(remote),
    };
    struct sb_error failure = {0};
    int done = 0;
    while (done == 0) {
        if (!u.session.target)
            done = sb_session_open(&u.session, &failure);
        if (done == 0)
            done = step(&u, &failure);
    }
    if (done > 0) {
        report(&u, u.in.blob.size);
        done = in->unverified ? 0 : verify(&u, &failure);
    } else {
        sb_session_cancel(&u.session);
    }
    free(u.session.target);
    if (done < 0 && err)
        *err = failure;
    return done < 0 ? -1 : 0;
}

int sb_remote_blob_put_bytes(struct sb_remote *remote, const void *bytes, size_t len,
                             struct sb_digest *out_digest, struct sb_error *err) {
    *out_digest = sb_digest_of(bytes, len);
    struct sb_remote_upload upload = {.blob = {.digest = *out_digest, .size = len}};
    int there = sb_remote_blob_head(remote, &upload.blob, err);
    if (there != 0)
        return there < 0 ? -1 : 0;
    sb_autoclose int fd = memfd_create("sbuild-blob", MFD_CLOEXEC);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "making a file in memory");
    if (sb_fd_write(fd, bytes, len, "a file in memory", err) < 0)
        return -1;
    upload.fd = fd;
    return sb_remote_blob_put(remote, &upload, err);
}

/* ---- from another repository ---- */

int sb_remote_blob_mount(struct sb_remote *remote, const struct sb_digest *digest,
                         const char *from_repository, char **out_session, struct sb_error *err) {
    if (out_session)
        *out_session = NULL;
    sb_remote_will_push(remote);
    sb_autofree char *target =
        sb_format("/v2/%s/blobs/uploads/?mount=%s&from=%s", remote->repository,
                  sb_digest_text(digest).text, from_repository);
    sb_autofree char *scope =
        sb_format("%s repository:%s:pull", remote->scope_push, from_repository);
    sb_autofree char *what =
        sb_format("mounting blob %s from %s", sb_digest_text(digest).text, from_repository);
    struct sb_http_request request = sb_remote_request(remote, "POST", target);
    request.scope = scope;
    request.body_kind = SB_HTTP_BODY_BYTES;
    request.body = "";
    sb_autoresponse struct sb_http_response response = {0};
    struct sb_error failure = {0};
    if (sb_remote_perform(remote, &request, what, &response, &failure) < 0) {
        if (failure.reason == SB_REASON_DENIED)
            return 0; /* the other repository may not be read; this may be pushed to */
        if (err)
            *err = failure;
        return -1;
    }
    if (response.status == 201) {
        if (sb_remote_check_digest(&response, digest, err) < 0)
            return sb_remote_context(remote, what, err);
        return 1;
    }
    if (response.status == 429 || response.status >= 500)
        return sb_remote_refused(remote, &response, what, err);
    const char *location = sb_http_header(&response, "location");
    if (response.status != 202 || !location) /* whatever is wrong, an upload tells better */
        return 0;
    char *session;
    if (sb_remote_location(remote, target, location, true, &session, err) < 0)
        return sb_remote_context(remote, what, err);
    if (out_session)
        *out_session = session;
    else
        free(session);
    return 0;
}
