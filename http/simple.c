#include "http/simple.h"

#include "base/memory.h"
#include "http/exchange.h"
#include "http/origin.h"
#include "http/secret.h"

enum { LIMIT = 64 << 10, TIMEOUT_MS = 30000 };

int sb_simple(const struct sb_http_settings *settings, const struct sb_simple_request *request,
              struct sb_simple_response *response, struct sb_error *err) {
    *response = (struct sb_simple_response){0};
    sb_autourl CURLU *url = sb_url_parse(request->url, err);
    if (!url)
        return -1;
    sb_autofree char *authority = sb_url_authority(url);
    sb_autotls struct sb_tls tls = {0};
    if (sb_tls_find(settings, authority, request->host, &tls, err) < 0)
        return -1;
    struct sb_exchange exchange = {
        .url = url,
        .method = request->method,
        .headers = request->headers,
        .tls = &tls,
        .has_body = request->body,
        .body_fd = -1,
        .body_bytes = request->body,
        .body_size = request->body_len,
        .limit = request->limit ? request->limit : LIMIT,
        .stall_seconds = settings->stall_seconds,
        .timeout_ms = request->timeout_ms ? request->timeout_ms : TIMEOUT_MS,
        .direct = request->direct,
        .foreign = request->foreign,
        .to_loopback = true,
        .to_link_local = !request->foreign,
    };
    CURL *curl = curl_easy_init();
    int result = curl ? sb_exchange_run(curl, &exchange, err)
                      : sb_fail(err, SB_E_FAILED, "libcurl can't be started");
    curl_easy_cleanup(curl);
    response->status = exchange.status;
    response->headers = exchange.answer_headers;
    response->body = exchange.body;
    return result;
}

void sb_simple_response_free(struct sb_simple_response *response) {
    sb_strings_free(&response->headers);
    sb_secret_free(&response->body);
    response->status = 0;
}
