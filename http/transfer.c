#include "http/transfer.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "http/aws_sign.h"
#include "http/exchange.h"
#include "http/origin.h"
#include "http/secret.h"

enum { REDIRECTS = 5, DOWNLOAD_REDIRECTS = 10, CHALLENGES = 2 };

struct sb_transfer {
    const struct sb_http_service *service;
    CURL *curl;
};

struct sb_transfer *sb_transfer_new(const struct sb_http_service *service) {
    struct sb_transfer *transfer = sb_alloc(sizeof *transfer);
    transfer->service = service;
    transfer->curl = curl_easy_init();
    return transfer;
}

void sb_transfer_free(struct sb_transfer *transfer) {
    if (!transfer)
        return;
    curl_easy_cleanup(transfer->curl);
    free(transfer);
}

/* One request on its way, over challenges and redirects. */
struct journey {
    struct sb_transfer *transfer;
    const struct sb_request *request;
    const struct sb_receiver *receiver;
    char *origin; /* of the registry: the only one that gets credentials; NULL without a registry */
    CURLU *url;   /* where it goes now */
    char *url_origin;
    struct sb_buf authorization;
    int challenges, redirects;
    bool registry_at_loopback;
    bool first_at_private; /* of a download */
    bool head_sent;
    struct sb_exchange exchange;
};

static bool at_registry(const struct journey *j) {
    return j->origin && !strcmp(j->origin, j->url_origin);
}

static void move_to(struct journey *j, CURLU *url) {
    sb_url_free(&j->url);
    free(j->url_origin);
    j->url = url;
    j->url_origin = sb_url_origin(url);
}

static int send_head(struct journey *j, struct sb_error *err) {
    if (j->head_sent)
        return 0;
    j->head_sent = true;
    return j->receiver->head(j->receiver->data, j->exchange.status, &j->exchange.answer_headers,
                             err);
}

static int on_stream(void *data, const void *bytes, size_t len, struct sb_error *err) {
    struct journey *j = data;
    if (send_head(j, err) < 0)
        return -1;
    return j->receiver->bytes(j->receiver->data, bytes, len, err);
}

static bool is_gone(void *data) {
    struct journey *j = data;
    return j->receiver->gone(j->receiver->data);
}

/* ---- where it begins ---- */

static bool is_path(const struct journey *j) {
    return j->request->target[0] == '/';
}

/* The registry's scheme, host and port as a URL; the caller's. Whoever names its own host in a URL
 * says with it which scheme it has (a mirror). */
static char *registry_base(const struct journey *j, struct sb_error *err) {
    const struct sb_request *r = j->request;
    if (strstr(r->endpoint, "://"))
        return sb_strdup(r->endpoint);
    sb_autofree char *authority = j->url ? sb_url_authority(j->url) : NULL;
    if (authority && !strcmp(authority, r->endpoint))
        return sb_strdup(j->url_origin);
    bool https;
    if (sb_scheme_find(j->transfer->service->schemes, r->host, &https, err) < 0)
        return NULL;
    return sb_format("%s://%s", https ? "https" : "http", r->endpoint);
}

static int find_registry(struct journey *j, struct sb_error *err) {
    sb_autofree char *text = registry_base(j, err);
    sb_autourl CURLU *url = text ? sb_url_parse(text, err) : NULL;
    if (!url)
        return -1;
    j->origin = sb_url_origin(url);
    sb_autofree char *authority = sb_url_authority(url);
    j->registry_at_loopback = sb_host_is_loopback(authority);
    return 0;
}

/* The path of an endpoint "https://proxy.example.com/prefix" comes before those of the registry,
 * but where a Location of its own has it already. */
static char *registry_url(const struct journey *j) {
    const struct sb_request *r = j->request;
    const char *scheme = strstr(r->endpoint, "://");
    const char *prefix = scheme ? strchr(scheme + 3, '/') : NULL;
    size_t len = prefix ? strlen(prefix) : 0;
    while (len && prefix[len - 1] == '/')
        len--;
    bool there = !strncmp(r->target, len ? prefix : "", len) && r->target[len] == '/';
    return sb_format("%s%.*s%s", j->origin ? j->origin : "", there ? 0 : (int)len,
                     len ? prefix : "", r->target);
}

/* The API of AWS that "ecr/us-west-2" names, for a target "/". */
static char *aws_url(const struct sb_request *r, struct sb_error *err) {
    const char *slash = strchr(r->aws, '/');
    sb_autofree char *service = sb_strndup(r->aws, strcspn(r->aws, "/"));
    sb_autofree char *base = sb_aws_url(service, slash ? slash + 1 : "", err);
    return base ? sb_format("%s%s", base, r->target + 1) : NULL;
}

static int go_to(struct journey *j, const char *text, struct sb_error *err) {
    CURLU *url = text ? sb_url_parse(text, err) : NULL;
    if (url)
        move_to(j, url);
    return url ? 0 : -1;
}

static int find_url(struct journey *j, struct sb_error *err) {
    const struct sb_request *r = j->request;
    if (!is_path(j) && go_to(j, r->target, err) < 0)
        return -1;
    if (*r->host && find_registry(j, err) < 0)
        return -1;
    if (is_path(j)) {
        sb_autofree char *text = !j->origin && r->aws ? aws_url(r, err) : registry_url(j);
        if (go_to(j, text, err) < 0)
            return -1;
    }
    if (!j->origin || strncmp(j->origin, "https:", 6) != 0 || sb_url_is_https(j->url))
        return 0;
    sb_fail(err, SB_E_NETWORK, "%s sends to %s: refused, for that is without TLS", r->host,
            sb_text_shown(j->url_origin).text);
    return sb_error_reason(err, SB_REASON_FORBIDDEN);
}

/* ---- one exchange ---- */

static struct sb_auth_request auth_request(const struct journey *j) {
    return (struct sb_auth_request){
        .host = j->request->host, .origin = j->origin, .scope = j->request->scope};
}

static bool is_credential(const char *header) {
    static const char *const names[] = {"authorization:", "cookie:", "proxy-authorization:"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strncasecmp(header, names[i], strlen(names[i])))
            return true;
    return false;
}

static int collect_headers(struct journey *j, struct sb_strings *out, struct sb_error *err) {
    const struct sb_request *r = j->request;
    for (size_t i = 0; i < r->headers.n; i++)
        if (!j->origin || at_registry(j) || !is_credential(r->headers.v[i]))
            sb_strings_add(out, r->headers.v[i]);
    if (!r->aws)
        return 0;
    const char *slash = strchr(r->aws, '/');
    sb_autofree char *service = sb_strndup(r->aws, strcspn(r->aws, "/"));
    sb_autofree char *url = sb_url_text(j->url);
    struct sb_aws_request request = {
        .service = service,
        .region = slash ? slash + 1 : "",
        .method = r->method,
        .url = url,
        .headers = out,
        .body = r->body.data,
        .body_len = r->body.len,
    };
    sb_autostrings struct sb_strings signature = {0};
    if (sb_aws_sign(j->transfer->service->settings, &request, &signature, err) < 0)
        return -1;
    sb_strings_copy(out, &signature);
    return 0;
}

/* By who runs this machine, and by its name. */
static bool is_set(const struct sb_http_settings *settings, const char *host) {
    const struct sb_host_settings *set = sb_http_settings_host(settings, host);
    return set && !strcmp(set->host, host);
}

static int exchange(struct journey *j, struct sb_error *err) {
    const struct sb_request *r = j->request;
    const struct sb_http_settings *settings = j->transfer->service->settings;
    sb_autostrings struct sb_strings headers = {0};
    if (collect_headers(j, &headers, err) < 0)
        return -1;
    sb_autofree char *authority = sb_url_authority(j->url);
    sb_autotls struct sb_tls tls = {0};
    if (sb_tls_find(settings, at_registry(j) ? r->host : authority, *r->host ? r->host : NULL, &tls,
                    err) < 0)
        return -1;
    j->exchange = (struct sb_exchange){
        .url = j->url,
        .method = r->method,
        .headers = &headers,
        .authorization = at_registry(j) && j->authorization.len ? j->authorization.data : NULL,
        .tls = &tls,
        .has_body = r->has_body,
        .body_fd = r->body_fd,
        .body_bytes = r->body.data,
        .body_offset = r->body_offset,
        .body_size = r->body_size,
        .stream = r->sink ? on_stream : NULL,
        .gone = is_gone,
        .data = j,
        .limit = r->limit,
        .stall_seconds = settings->stall_seconds,
        .wait_seconds = r->wait,
        .foreign = j->origin ? !at_registry(j) : j->redirects > 0,
        .to_loopback = j->registry_at_loopback,
        .to_link_local = !*r->host || strstr(r->endpoint, "://") || is_set(settings, r->host),
        .download = r->download,
        .to_private = j->first_at_private,
        .timeout_ms = r->timeout * 1000,
    };
    int result = sb_exchange_run(j->transfer->curl, &j->exchange, err);
    if (at_registry(j) && j->exchange.at_loopback)
        j->registry_at_loopback = true;
    if (r->download && !j->redirects)
        j->first_at_private = j->exchange.at_private;
    j->exchange.headers = NULL;
    j->exchange.tls = NULL;
    return result;
}

/* ---- where it goes next ---- */

static bool is_redirect(const struct journey *j) {
    int status = j->exchange.status;
    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
        return false;
    if (!sb_header_find(&j->exchange.answer_headers, "location"))
        return false;
    return !j->request->aws;
}

/* 1: to be made again elsewhere, 0: that is the answer. */
static int follow(struct journey *j, struct sb_error *err) {
    const char *method = j->request->method;
    bool reads = !strcmp(method, "GET") || !strcmp(method, "HEAD");
    const char *location = sb_header_find(&j->exchange.answer_headers, "location");
    sb_autofree char *from = sb_url_authority(j->url);
    CURLU *url = sb_url_resolve(j->url, location, err);
    if (!url)
        return sb_error_context(err, "%s redirects where it may not", from);
    sb_autofree char *origin = sb_url_origin(url);
    if (!reads && (j->exchange.status < 307 || strcmp(origin, j->url_origin) != 0)) {
        sb_url_free(&url);
        return 0; /* whoever asked decides what a Location means */
    }
    int refused = 0;
    int most = j->request->download ? DOWNLOAD_REDIRECTS : REDIRECTS;
    if (!j->request->download && sb_url_is_https(j->url) && !sb_url_is_https(url))
        refused = sb_fail(err, SB_E_NETWORK, "%s redirects to %s: refused, for that is without TLS",
                          from, sb_text_shown(origin).text);
    else if (++j->redirects > most)
        refused = sb_fail(err, SB_E_NETWORK, "%s: more than %d redirects", from, most);
    if (refused) {
        sb_url_free(&url);
        return sb_error_reason(err, SB_REASON_FORBIDDEN);
    }
    move_to(j, url);
    return 1;
}

static int answer_challenge(struct journey *j, struct sb_error *err) {
    if (j->exchange.status != 401 || !at_registry(j) || j->request->aws ||
        ++j->challenges > CHALLENGES)
        return 0;
    struct sb_auth_request request = auth_request(j);
    sb_autosecret struct sb_buf value = {0};
    int got = sb_auth_challenge(j->transfer->service->auth, &request, &j->exchange.answer_headers,
                                j->authorization.len ? j->authorization.data : NULL, &value, err);
    if (got <= 0)
        return got;
    sb_secret_free(&j->authorization);
    j->authorization = value;
    value = (struct sb_buf){0};
    return 1;
}

static int deliver(struct journey *j, struct sb_error *err) {
    if (send_head(j, err) < 0)
        return -1;
    struct sb_buf *body = &j->exchange.body;
    const char *slash = j->request->aws ? strchr(j->request->aws, '/') : NULL;
    if (slash && j->exchange.status >= 400)
        sb_aws_hide(j->transfer->service->settings, slash + 1, body);
    return body->len ? j->receiver->bytes(j->receiver->data, body->data, body->len, err) : 0;
}

static int travel(struct journey *j, uint64_t *out_sent, uint64_t *out_received,
                  struct sb_error *err) {
    if (find_url(j, err) < 0)
        return -1;
    if (j->origin && !j->request->aws) {
        struct sb_auth_request request = auth_request(j);
        if (sb_auth_header(j->transfer->service->auth, &request, &j->authorization, err) < 0)
            return -1;
    }
    for (;;) {
        int result = exchange(j, err);
        *out_sent += j->exchange.sent;
        *out_received += j->exchange.received;
        int again = 0;
        if (result == 0)
            again = is_redirect(j) ? follow(j, err) : answer_challenge(j, err);
        if (again < 0)
            result = -1;
        else if (result == 0 && !again)
            result = deliver(j, err);
        sb_exchange_free(&j->exchange);
        if (result < 0 || !again)
            return result;
    }
}

int sb_transfer_run(struct sb_transfer *transfer, const struct sb_request *request,
                    const struct sb_receiver *receiver, uint64_t *out_sent, uint64_t *out_received,
                    struct sb_error *err) {
    struct journey j = {.transfer = transfer, .request = request, .receiver = receiver};
    *out_sent = *out_received = 0;
    int result = transfer->curl ? travel(&j, out_sent, out_received, err)
                                : sb_fail(err, SB_E_FAILED, "libcurl can't be started");
    sb_url_free(&j.url);
    sb_secret_free(&j.authorization);
    free(j.url_origin);
    free(j.origin);
    return result;
}
