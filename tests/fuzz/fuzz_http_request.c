/*
 * Any messages of sbuild to sbuild-http: settings, and requests with their bodies. Each part of the
 * input is a message, its type first; settings that are refused, and requests that are not
 * understood, say why.
 */
#include <sys/socket.h>

#include "base/channel.h"
#include "http/request.h"
#include "http/settings.h"
#include "tests/fuzz/fuzz.h"

static void settings(const char *text, size_t len) {
    struct sb_error err = {0};
    struct sb_http_settings settings;
    if (sb_http_settings_parse(text, len, &settings, &err) < 0) {
        fuzz_check_error(&err);
        return;
    }
    FUZZ_CHECK(settings.stall_seconds > 0);
    sb_http_settings_host(&settings, "a.example.com");
    sb_http_settings_free(&settings);
}

static void check_request(const struct sb_request *request) {
    FUZZ_CHECK(request->method && request->host && request->endpoint && request->target);
    FUZZ_CHECK(request->body.len ==
               (request->has_body && request->body_fd < 0 ? request->body_size : 0));
    for (size_t i = 0; i < request->headers.n; i++)
        FUZZ_CHECK(!strpbrk(request->headers.v[i], "\r\n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_parts parts = fuzz_parts(data, size);
    int ends[2];
    FUZZ_CHECK(sb_channel_pair(ends, NULL) == 0);
    for (int i = 0; i < 8 && parts.more; i++) {
        size_t len;
        sb_autofree char *message = fuzz_next(&parts, &len);
        if (message[0] == 'C')
            settings(message + 1, len - 1);
        else if (len > 0 && len < SB_CHANNEL_LIMIT)
            sb_channel_send(ends[1], message[0], message + 1, len - 1,
                            message[0] == 'R' && len % 2 ? ends[1] : -1, NULL);
    }
    close(ends[1]);
    static struct sb_buf message;
    struct sb_request request;
    struct sb_error err = {0};
    int got;
    while ((got = sb_request_receive(ends[0], &message, &request, &err)) > 0) {
        check_request(&request);
        sb_request_free(&request);
    }
    if (got < 0)
        fuzz_check_error(&err);
    sb_request_free(&request);
    close(ends[0]);
    return 0;
}
