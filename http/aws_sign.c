#include "http/aws_sign.h"

#include <time.h>

#include "base/memory.h"
#include "http/aws_credentials.h"
#include "http/aws_endpoint.h"
#include "http/aws_sigv4.h"
#include "http/secret.h"

int sb_aws_sign(const struct sb_http_settings *settings, const struct sb_aws_request *request,
                struct sb_strings *out_headers, struct sb_error *err) {
    sb_autokeys struct sb_aws_keys keys = {0};
    if (sb_aws_keys_get(settings, request->region, &keys, err) < 0) {
        if (err->code == SB_E_NOT_FOUND)
            err->code = SB_E_NETWORK;
        return -1;
    }
    sb_autofree char *service = sb_aws_signing_name(request->service);
    struct sb_sigv4_request signed_request = {
        .method = request->method,
        .url = request->url,
        .headers = request->headers,
        .body = request->body,
        .body_len = request->body_len,
        .service = service,
        .region = request->region,
        .time = time(NULL),
    };
    sb_sigv4_sign(&signed_request, &keys, out_headers);
    return 0;
}

char *sb_aws_url(const char *service, const char *region, struct sb_error *err) {
    struct sb_aws_config config;
    if (sb_aws_config_load(&config, err) < 0)
        return NULL;
    char *url = sb_aws_endpoint(service, region, &config, err);
    sb_aws_config_free(&config);
    return url;
}

void sb_aws_hide(const struct sb_http_settings *settings, const char *region, struct sb_buf *text) {
    sb_autokeys struct sb_aws_keys keys = {0};
    struct sb_error ignored = {0};
    if (sb_aws_keys_get(settings, region, &keys, &ignored) < 0)
        return;
    sb_secret_hide(text, keys.secret_key);
    sb_secret_hide(text, keys.session_token);
}
