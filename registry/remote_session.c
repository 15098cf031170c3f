/* distribution-spec 1.1, "Pushing a blob in chunks": POST gives a session, each answer says where
 * the next request goes, and up to which byte the registry has the blob. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "registry/remote_private.h"

static int take_location(struct sb_session *session, const char *base,
                         const struct sb_http_response *response, struct sb_error *err) {
    const char *location = sb_http_header(response, "location");
    if (!location)
        return 0;
    char *target;
    if (sb_remote_location(session->remote, base, location, true, &target, err) < 0)
        return -1;
    free(session->target);
    session->target = target;
    return 1;
}

bool sb_session_range(const char *value, uint64_t *out) {
    if (!strncmp(value, "bytes=", 6))
        value += 6;
    char *end;
    errno = 0;
    unsigned long long last;
    if (strncmp(value, "0-", 2) != 0 || value[2] < '0' || value[2] > '9')
        return false;
    last = strtoull(value + 2, &end, 10);
    if (*end || errno || last >= INT64_MAX)
        return false;
    *out = last + 1;
    return true;
}

int sb_session_open(struct sb_session *session, struct sb_error *err) {
    static const char what[] = "POST upload";
    struct sb_remote *remote = session->remote;
    sb_autofree char *target = sb_format("/v2/%s/blobs/uploads/", remote->repository);
    struct sb_http_request request = sb_remote_request(remote, "POST", target);
    request.body_kind = SB_HTTP_BODY_BYTES; /* "Content-Length: 0": some proxies insist on it */
    request.body = "";
    sb_autoresponse struct sb_http_response response = {0};
    if (sb_remote_perform(remote, &request, what, &response, err) < 0)
        return -1;
    if (response.status != 202 && response.status != 201)
        return sb_remote_refused(remote, &response, what, err);
    session->offset = 0;
    const char *least = sb_http_header(&response, "oci-chunk-min-length");
    uint64_t chunk = least ? strtoull(least, NULL, 10) : 0;
    if (chunk > session->min_chunk)
        session->min_chunk = chunk;
    int taken = take_location(session, target, &response, err);
    if (taken == 0)
        sb_fail(err, SB_E_NETWORK, "the registry does not say where to upload to");
    return taken > 0 ? 0 : sb_remote_context(remote, what, err);
}

int sb_session_accepted(struct sb_session *session, const struct sb_http_response *response,
                        uint64_t expected, struct sb_error *err) {
    sb_autofree char *base = sb_strdup(session->target);
    if (take_location(session, base, response, err) < 0)
        return sb_remote_context(session->remote, "PATCH upload", err);
    session->offset = expected;
    return 0;
}

int sb_session_ask(struct sb_session *session, uint64_t sent, struct sb_error *err) {
    static const char what[] = "GET upload";
    sb_autofree char *target = sb_steal(session->target);
    struct sb_http_request request = sb_remote_request(session->remote, "GET", target);
    sb_autoresponse struct sb_http_response response = {0};
    if (sb_remote_perform(session->remote, &request, what, &response, err) < 0)
        return -1;
    const char *range = sb_http_header(&response, "range");
    uint64_t has;
    bool fine = response.status >= 200 && response.status < 300;
    if (!fine || !range || !sb_session_range(range, &has) || has > sent)
        return 0;
    if (has == 1) { /* or nothing: nobody can tell */
        session->target = sb_steal(target);
        sb_session_cancel(session);
        return 0;
    }
    int taken = take_location(session, target, &response, err);
    if (taken < 0)
        return sb_remote_context(session->remote, what, err);
    if (taken == 0)
        session->target = sb_steal(target);
    session->offset = has;
    return 0;
}

void sb_session_cancel(struct sb_session *session) {
    if (!session->target)
        return;
    sb_autofree char *target = sb_steal(session->target);
    struct sb_http_request request = sb_remote_request(session->remote, "DELETE", target);
    request.parting = true;
    sb_autoresponse struct sb_http_response response = {0};
    struct sb_error ignored = {0};
    (void)sb_remote_once(session->remote, &request, &response, &ignored);
}

/* Only what is refused to this account, or for want of the repository, will be refused later, too:
 * what else is odd about a session of nothing says little of a push. */
int sb_remote_may_push(struct sb_remote *remote, struct sb_error *err) {
    static const char what[] = "POST upload";
    sb_remote_will_push(remote);
    struct sb_session session = {.remote = remote};
    sb_autofree char *target = sb_format("/v2/%s/blobs/uploads/", remote->repository);
    struct sb_http_request request = sb_remote_request(remote, "POST", target);
    request.body_kind = SB_HTTP_BODY_BYTES;
    request.body = "";
    sb_autoresponse struct sb_http_response response = {0};
    if (sb_remote_perform(remote, &request, what, &response, err) < 0)
        return -1;
    int status = response.status;
    if (status == 401 || status == 403 || status == 404 || status == 405 ||
        sb_retry_worth(0, &response, NULL))
        return sb_remote_refused(remote, &response, what, err);
    if (status == 202 && take_location(&session, target, &response, NULL) > 0)
        sb_session_cancel(&session);
    free(session.target);
    return 0;
}
