#include "http/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/channel.h"
#include "base/json.h"
#include "base/memory.h"
#include "http/secret.h"

enum { TEXT_LIMIT = 1 << 20 }; /* bytes of a request's JSON */

/* A header's name or value, or a method: nothing that could begin another line. */
static bool is_plain(const char *text) {
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

static int take_headers(const json_t *list, struct sb_strings *out, struct sb_error *err) {
    size_t i;
    const json_t *pair;
    json_array_foreach (list, i, pair) {
        const char *name = json_string_value(json_array_get(pair, 0));
        const char *value = json_string_value(json_array_get(pair, 1));
        if (!name || !value || !*name || strpbrk(name, " :\t") || !is_plain(name) ||
            !is_plain(value))
            return sb_fail(err, SB_E_FAILED, "a request header that can't be sent");
        sb_strings_addf(out, "%s: %s", name, value);
    }
    return 0;
}

static char *copy_text(const json_t *object, const char *key) {
    const char *text = sb_json_string(object, key, NULL);
    return text ? sb_strdup(text) : NULL;
}

static int parse(const struct sb_buf *text, struct sb_request *out, struct sb_error *err) {
    sb_autojson json_t *value = sb_json_parse(sb_buf_text(text), text->len, err);
    if (!value)
        return sb_error_context(err, "a request");
    out->method = copy_text(value, "method");
    out->host = copy_text(value, "host");
    out->endpoint = copy_text(value, "endpoint");
    out->target = copy_text(value, "target");
    out->scope = copy_text(value, "scope");
    out->aws = copy_text(value, "aws");
    if (!out->method || !out->host || !out->endpoint || !out->target || !is_plain(out->method) ||
        strchr(out->method, ' '))
        return sb_fail(err, SB_E_FAILED, "a request that lacks what it must have");
    const char *body = sb_json_string(value, "body", NULL);
    out->has_body = body;
    json_int_t size = sb_json_integer(value, "size", 0);
    json_int_t offset = sb_json_integer(value, "offset", 0);
    json_int_t limit = sb_json_integer(value, "limit", 0);
    json_int_t wait = sb_json_integer(value, "wait", 0);
    json_int_t timeout = sb_json_integer(value, "timeout", 0);
    bool in_file = body && !strcmp(body, "file");
    if (size < 0 || offset < 0 || limit < 0 || wait < 0 || wait > 86400 || timeout < 0 ||
        timeout > 1000000 || (!in_file && size > SB_BODY_LIMIT))
        return sb_fail(err, SB_E_FAILED, "a request with a number that can't be");
    if (in_file != (out->body_fd >= 0))
        return sb_fail(err, SB_E_FAILED, "a request without the file that it sends");
    out->body_size = (uint64_t)size;
    out->body_offset = (uint64_t)offset;
    out->limit = (size_t)limit;
    out->wait = (int)wait;
    out->timeout = (int)timeout;
    out->download = json_is_true(json_object_get(value, "download"));
    out->sink = json_is_true(json_object_get(value, "sink"));
    return take_headers(json_object_get(value, "headers"), &out->headers, err);
}

/* The body's messages follow the request at once. */
static int receive_body(int channel, struct sb_buf *message, struct sb_request *out,
                        struct sb_error *err) {
    if (!out->has_body || out->body_fd >= 0)
        return 1;
    sb_buf_reserve(&out->body, (size_t)out->body_size);
    while (out->body.len < out->body_size) {
        char type;
        int got = sb_channel_receive(channel, &type, message, NULL, err);
        if (got <= 0)
            return got;
        if (type != 'B' || !message->len || message->len > out->body_size - out->body.len)
            return sb_fail(err, SB_E_FAILED, "a body that is not as long as it was said to be");
        sb_buf_add(&out->body, message->data, message->len);
    }
    return 1;
}

int sb_request_receive(int channel, struct sb_buf *message, struct sb_request *out,
                       struct sb_error *err) {
    *out = (struct sb_request){.body_fd = -1};
    sb_autosecret struct sb_buf text = {0};
    char type;
    do {
        sb_close_descriptor(&out->body_fd);
        int got = sb_channel_receive(channel, &type, message, &out->body_fd, err);
        if (got <= 0)
            return got;
        if ((type != 'r' && type != 'R') || text.len + message->len > TEXT_LIMIT)
            return sb_fail(err, SB_E_FAILED, "a message that is no request");
        sb_secret_add(&text, message->data, message->len);
    } while (type == 'r');
    if (parse(&text, out, err) < 0)
        return -1;
    return receive_body(channel, message, out, err);
}

void sb_request_free(struct sb_request *request) {
    for (size_t i = 0; i < request->headers.n; i++)
        explicit_bzero(request->headers.v[i], strlen(request->headers.v[i]));
    sb_strings_free(&request->headers);
    sb_secret_free(&request->body);
    sb_close_descriptor(&request->body_fd);
    free(request->method);
    free(request->host);
    free(request->endpoint);
    free(request->target);
    free(request->scope);
    free(request->aws);
    *request = (struct sb_request){.body_fd = -1};
}
