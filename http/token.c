#include "http/token.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "http/base64.h"
#include "http/realm.h"
#include "http/secret.h"
#include "http/simple.h"

enum {
    ANSWER_LIMIT = 1 << 20,
    TOKEN_LIMIT = 64 << 10,
    DEFAULT_SECONDS = 60,       /* of a token whose server does not say (the specification) */
    SECONDS_LIMIT = 365 * 86400 /* of one that says too much */
};
static const char client[] = "sbuild";

void sb_token_free(struct sb_token *token) {
    sb_secret_free_text(&token->text);
    sb_secret_free_text(&token->refresh);
    *token = (struct sb_token){0};
}

/* ---- messages ---- */

static int fail(struct sb_error *err, enum sb_error_reason reason) {
    if (err)
        err->code = SB_E_NETWORK;
    return sb_error_reason(err, reason);
}

/* "bob (from /root/.docker/config.json)" */
static char *who(const struct sb_credential *credential) {
    return sb_format("%s (from %s)",
                     credential->user && *credential->user ? sb_text_shown(credential->user).text
                                                           : "a token",
                     credential->source ? credential->source : "nowhere");
}

int sb_auth_refused(const char *host, const struct sb_credential *credential,
                    struct sb_error *err) {
    if (credential) {
        sb_autofree char *user = who(credential);
        sb_fail(err, SB_E_NETWORK, "registry %s refused the credentials for %s", host, user);
    } else {
        sb_fail(err, SB_E_NETWORK, "registry %s needs credentials", host);
    }
    if (credential && credential->source && !strcmp(credential->source, "AWS"))
        sb_error_hint(err, "may the user or role whose credentials for AWS these are use account "
                           "and region of that registry?");
    else
        sb_error_hint(err, "sbuild login %s", host);
    return fail(err, SB_REASON_DENIED);
}

int sb_auth_denied(const struct sb_auth_request *request, const struct sb_credential *credential,
                   struct sb_error *err) {
    sb_autofree char *user = credential ? who(credential) : sb_strdup("who has no credentials");
    sb_fail(err, SB_E_NETWORK, "registry %s denied %s to %s", request->host,
            request->scope ? sb_text_shown(request->scope).text : "access", user);
    if (!credential)
        sb_error_hint(err, "sbuild login %s", request->host);
    return fail(err, SB_REASON_DENIED);
}

/* ---- asking ---- */

static int exchange(const struct sb_http_settings *settings, const struct sb_token_request *request,
                    const char *method, const char *url, const struct sb_strings *headers,
                    const struct sb_buf *body, struct sb_simple_response *response,
                    struct sb_error *err) {
    struct sb_simple_request simple = {.method = method,
                                       .url = url,
                                       .host = request->request->host,
                                       .headers = headers,
                                       .body = body ? body->data : NULL,
                                       .body_len = body ? body->len : 0,
                                       .limit = ANSWER_LIMIT,
                                       .foreign = true};
    if (sb_simple(settings, &simple, response, err) < 0)
        return sb_error_context(err, "a token for registry %s", request->request->host);
    return 0;
}

static void add_basic(const struct sb_credential *credential, struct sb_strings *headers) {
    sb_autosecret struct sb_buf value = {0}, plain = {0};
    sb_secret_adds(&plain, credential->user);
    sb_secret_adds(&plain, ":");
    sb_secret_adds(&plain, credential->password);
    sb_secret_adds(&value, "Authorization: Basic ");
    sb_base64_encode(plain.data, plain.len, &value);
    sb_strings_add(headers, value.data);
}

static void free_headers(struct sb_strings *headers) {
    for (size_t i = 0; i < headers->n; i++)
        explicit_bzero(headers->v[i], strlen(headers->v[i]));
    sb_strings_free(headers);
}
#define sb_autoheaders __attribute__((cleanup(free_headers), unused))

static void add_query(CURLU *url, const char *name, const char *value) {
    sb_autofree char *text = sb_format("%s=%s", name, value);
    curl_url_set(url, CURLUPART_QUERY, text, CURLU_APPENDQUERY | CURLU_URLENCODE);
}

static bool has_password(const struct sb_credential *credential) {
    return credential && credential->user && credential->password;
}

static int ask_by_get(const struct sb_http_settings *settings,
                      const struct sb_token_request *request, CURLU *realm,
                      struct sb_simple_response *response, struct sb_error *err) {
    sb_autourl CURLU *url = curl_url_dup(realm);
    if (request->service)
        add_query(url, "service", request->service);
    for (size_t i = 0; i < request->scopes->list.n; i++)
        add_query(url, "scope", request->scopes->list.v[i]);
    sb_autoheaders struct sb_strings headers = {0};
    sb_strings_add(&headers, "Accept: application/json");
    if (has_password(request->credential)) {
        add_query(url, "account", request->credential->user);
        add_basic(request->credential, &headers);
    }
    if (request->keep) {
        add_query(url, "offline_token", "true");
        add_query(url, "client_id", client);
    }
    sb_autofree char *text = sb_url_text(url);
    return exchange(settings, request, "GET", text, &headers, NULL, response, err);
}

static void add_field(struct sb_buf *form, const char *name, const char *value) {
    char *escaped = curl_easy_escape(NULL, value, 0);
    sb_secret_adds(form, form->len ? "&" : "");
    sb_secret_adds(form, name);
    sb_secret_adds(form, "=");
    sb_secret_adds(form, escaped ? escaped : "");
    if (escaped)
        explicit_bzero(escaped, strlen(escaped));
    curl_free(escaped);
}

static int ask_by_post(const struct sb_http_settings *settings,
                       const struct sb_token_request *request, CURLU *realm,
                       struct sb_simple_response *response, struct sb_error *err) {
    sb_autosecret struct sb_buf form = {0};
    sb_autobuf struct sb_buf scope = {0};
    for (size_t i = 0; i < request->scopes->list.n; i++)
        sb_buf_addf(&scope, "%s%s", i ? " " : "", request->scopes->list.v[i]);
    add_field(&form, "grant_type", "refresh_token");
    add_field(&form, "service", request->service ? request->service : "");
    add_field(&form, "client_id", client);
    if (scope.len)
        add_field(&form, "scope", scope.data);
    add_field(&form, "refresh_token", request->credential->identity_token);
    sb_autostrings struct sb_strings headers = {0};
    sb_strings_add(&headers, "Accept: application/json");
    sb_strings_add(&headers, "Content-Type: application/x-www-form-urlencoded");
    sb_autofree char *text = sb_url_text(realm);
    return exchange(settings, request, "POST", text, &headers, &form, response, err);
}

/* ---- the answer ---- */

/* Text that can stand in a header. */
static bool is_token(const char *text) {
    size_t n = strnlen(text, TOKEN_LIMIT + 1);
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return n > 0 && n <= TOKEN_LIMIT;
}

int sb_token_parse(const char *text, size_t len, const char *where, struct sb_token *out,
                   struct sb_error *err) {
    *out = (struct sb_token){0};
    json_error_t ignored; /* would quote the text */
    sb_autojson json_t *answer = json_loadb(text, len, 0, &ignored);
    const char *token = sb_json_string(answer, "token", "");
    if (!*token)
        token = sb_json_string(answer, "access_token", "");
    if (!is_token(token))
        return sb_fail(err, SB_E_NETWORK, "%s: the answer has no token", where);
    const json_t *expires = json_object_get(answer, "expires_in");
    double seconds = json_is_number(expires) ? json_number_value(expires) : 0;
    if (!(seconds > 0))
        seconds = DEFAULT_SECONDS;
    out->text = sb_strdup(token);
    out->seconds = seconds < SECONDS_LIMIT ? seconds : SECONDS_LIMIT;
    const char *refresh = sb_json_string(answer, "refresh_token", "");
    out->refresh = is_token(refresh) ? sb_strdup(refresh) : NULL;
    return 0;
}

static int failed(const struct sb_token_request *request, const char *where, int status,
                  struct sb_error *err) {
    if (status == 401)
        return sb_auth_refused(request->request->host, request->credential, err);
    if (status == 403)
        return sb_auth_denied(request->request, request->credential, err);
    sb_fail(err, SB_E_NETWORK, "a token for registry %s: %s answered with status %d",
            request->request->host, where, status);
    return fail(err, status == 408 || status == 429 || status >= 500 ? EAGAIN : EPROTO);
}

int sb_token_fetch(const struct sb_http_settings *settings, const struct sb_token_request *request,
                   struct sb_token *out, struct sb_error *err) {
    *out = (struct sb_token){0};
    sb_autourl CURLU *realm = sb_realm_parse(settings, request->request, request->realm, err);
    if (!realm)
        return -1;
    sb_autofree char *where = sb_url_shown(realm);
    const struct sb_credential *credential = request->credential;
    bool refresh = credential && credential->identity_token;
    sb_autosimple struct sb_simple_response response = {0};
    if ((refresh ? ask_by_post : ask_by_get)(settings, request, realm, &response, err) < 0)
        return -1;
    /* Servers without OAuth2: 404 and 405; some say 401. */
    bool no_post = response.status == 404 || response.status == 405 || response.status == 401;
    if (refresh && no_post && has_password(credential)) {
        sb_simple_response_free(&response);
        if (ask_by_get(settings, request, realm, &response, err) < 0)
            return -1;
    }
    if (response.status < 200 || response.status > 299)
        return failed(request, where, response.status, err);
    if (sb_token_parse(sb_buf_text(&response.body), response.body.len, where, out, err) == 0)
        return 0;
    sb_error_context(err, "a token for registry %s", request->request->host);
    return fail(err, SB_REASON_LASTING);
}
