#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "registry/remote_private.h"
#include "registry/ways.h"

enum {
    SHOWN_ERRORS = 3, /* of a list */
    SHOWN_TEXT = 300, /* bytes of each */
};

/* Foreign text as it may stand in a message: one line, bounded, no control characters. */
static void add_shown(struct sb_buf *out, const char *text) {
    size_t start = out->len;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (out->len - start >= SHOWN_TEXT && (*p & 0xC0) != 0x80) {
            sb_buf_adds(out, "…");
            return;
        }
        bool control = *p < 0x20 || *p == 0x7F;
        if (*p == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0) { /* controls of Latin-1 */
            control = true;
            p++;
        }
        sb_buf_addc(out, control ? ' ' : (char)*p);
    }
}

static void add_detail(struct sb_buf *out, const json_t *detail) {
    sb_autobuf struct sb_buf text = {0};
    if (json_is_string(detail))
        sb_buf_adds(&text, json_string_value(detail));
    else if (json_is_object(detail) ? json_object_size(detail) : json_array_size(detail))
        sb_json_write(detail, &text);
    if (text.len == 0 || strstr(sb_buf_text(out), sb_buf_text(&text)))
        return;
    sb_buf_adds(out, " (");
    add_shown(out, sb_buf_text(&text));
    sb_buf_addc(out, ')');
}

/* distribution-spec 1.1, "Error Codes": {"errors": [{"code", "message", "detail"}]}. */
static void add_errors(struct sb_buf *out, const struct sb_http_response *response) {
    sb_autojson json_t *answer =
        response->body.len ? sb_json_parse(response->body.data, response->body.len, NULL) : NULL;
    const json_t *errors = json_object_get(answer, "errors");
    for (size_t i = 0; i < json_array_size(errors) && i < SHOWN_ERRORS; i++) {
        const json_t *error = json_array_get(errors, i);
        const char *code = sb_json_string(error, "code", "");
        const char *message = sb_json_string(error, "message", "");
        if (i > 0)
            sb_buf_adds(out, "; ");
        add_shown(out, code);
        if (*code && *message)
            sb_buf_adds(out, ": ");
        add_shown(out, message);
        add_detail(out, json_object_get(error, "detail"));
    }
    /* Not of the specification, but common: {"message": "…"}, {"error": "…"}. */
    if (out->len == 0)
        add_shown(out, sb_json_string(answer, "message", sb_json_string(answer, "error", "")));
}

bool sb_remote_said(const struct sb_http_response *response, const char *code) {
    sb_autojson json_t *answer =
        response->body.len ? sb_json_parse(response->body.data, response->body.len, NULL) : NULL;
    const json_t *errors = json_object_get(answer, "errors");
    for (size_t i = 0; i < json_array_size(errors); i++)
        if (!strcmp(sb_json_string(json_array_get(errors, i), "code", ""), code))
            return true;
    return false;
}

static const char *meaning(int status) {
    switch (status) {
    case 400:
        return "the registry takes the request for invalid";
    case 401:
        return "not logged in, or not with an account that may do this";
    case 403:
        return "access denied";
    case 404:
        return "not found";
    case 405:
        return "the registry does not allow that";
    case 407:
        return "the proxy wants a user and a password";
    case 408:
        return "the registry waited too long for the request";
    case 412:
        return "the registry's conditions are not met";
    case 413:
        return "too large for the registry, or for a proxy before it";
    case 416:
        return "the registry has another part of it than was thought";
    case 429:
        return "too many requests";
    case 502:
    case 503:
    case 504:
        return "the registry is not available";
    default:
        return status >= 500 ? "the registry failed"
               : status >= 300 && status < 400
                   ? "the registry leads elsewhere, which is not followed"
                   : "an unexpected answer";
    }
}

static void add_hint(const struct sb_remote *remote, const struct sb_http_response *response,
                     const char *what, struct sb_error *err) {
    int status = response->status;
    if (status == 401)
        sb_error_hint(err, "log in with `sbuild login %s`", remote->host);
    else if (status == 403)
        sb_error_hint(err,
                      "check that the account may use %s, or log in with another: `sbuild "
                      "login %s`",
                      remote->repository, remote->host);
    else if (status == 404 && sb_remote_said(response, "NAME_UNKNOWN"))
        sb_error_hint(err, "check the repository's name; some registries want it to be created "
                           "first, and say this of private ones to those who are not logged in");
    else if (status == 405)
        sb_error_hint(err, !strncmp(what, "DELETE", 6)
                               ? "deleting must be switched on in many registries"
                               : "it may be read-only for now, or a mirror of another");
    else if (status == 407)
        sb_error_hint(err, "set HTTPS_PROXY to http://USER:PASSWORD@PROXY:PORT");
    else if (status == 413)
        sb_error_hint(err, "raise the limit of the proxy before the registry (nginx: "
                           "client_max_body_size)");
    else if (status == 429)
        sb_error_hint(err, "try again later; some registries allow more to those who are logged "
                           "in");
    else if (status >= 500)
        sb_error_hint(err, "try again later, or ask whoever runs the registry");
}

int sb_remote_refused(const struct sb_remote *remote, const struct sb_http_response *response,
                      const char *what, struct sb_error *err) {
    sb_autobuf struct sb_buf said = {0};
    add_errors(&said, response);
    enum sb_error_code code = response->status == 404 ? SB_E_NOT_FOUND : SB_E_NETWORK;
    sb_fail(err, code, "%s (status %d)", said.len ? sb_buf_text(&said) : meaning(response->status),
            response->status);
    add_hint(remote, response, what, err);
    if (err && sb_retry_worth(0, response, err))
        sb_error_reason(err, SB_REASON_PASSING);
    bool ecr = false;
    if (remote->push && response->status == 404 && sb_remote_said(response, "NAME_UNKNOWN"))
        sb_registry_missing(remote->host, remote->repository, &ecr, err);
    if (ecr && err)
        err->code = code;
    return sb_remote_context(remote, what, err);
}

json_t *sb_remote_json(const struct sb_http_response *response, struct sb_error *err) {
    struct sb_error detail = {0};
    json_t *value = sb_json_parse(sb_buf_text(&response->body), response->body.len, &detail);
    if (json_is_object(value))
        return value;
    json_decref(value);
    sb_fail(err, SB_E_NETWORK, "the answer is not JSON as it should be%s%s",
            *detail.message ? ": " : "", detail.message);
    return NULL;
}

int sb_remote_check_digest(const struct sb_http_response *response, const struct sb_digest *wanted,
                           struct sb_error *err) {
    const char *value = sb_http_header(response, "docker-content-digest");
    struct sb_digest digest;
    if (!value || strncmp(value, "sha256:", 7) != 0) /* may be of another algorithm */
        return 0;
    if (sb_digest_parse(value, &digest, NULL) < 0)
        return sb_fail(err, SB_E_INTEGRITY, "the registry states the malformed digest %s",
                       sb_text_shown(value).text);
    if (!sb_digest_equal(&digest, wanted))
        return sb_fail(err, SB_E_INTEGRITY, "the registry states the digest %s, but it is %s",
                       sb_digest_text(&digest).text, sb_digest_text(wanted).text);
    return 1;
}
