#include "registry/http.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "registry/http_program.h"
#include "registry/reference.h"

enum { LIMIT = 64 << 10, WHOLE_MS = 1000, PARTING_MS = 2000 };

struct sb_http {
    struct sb_http_options options;
    pthread_mutex_t mutex;
    struct sb_http_program *program; /* NULL: not started */
};

struct sb_http *sb_http_new(const struct sb_http_options *options) {
    struct sb_http *http = sb_alloc(sizeof *http);
    if (options)
        http->options = *options;
    pthread_mutex_init(&http->mutex, NULL);
    return http;
}

void sb_http_free(struct sb_http *http) {
    if (!http)
        return;
    sb_http_program_drop(http->program);
    pthread_mutex_destroy(&http->mutex);
    free(http);
}

void sb_http_response_free(struct sb_http_response *response) {
    sb_strings_free(&response->headers);
    sb_buf_free(&response->body);
    *response = (struct sb_http_response){0};
}

const char *sb_http_header(const struct sb_http_response *response, const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < response->headers.n; i++) {
        const char *line = response->headers.v[i];
        if (!strncmp(line, name, len) && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " ");
    }
    return NULL;
}

/* ---- the request ---- */

static const char *endpoint_of(const struct sb_registry_hosts *hosts, const char *host) {
    const struct sb_registry_host *set = sb_registry_hosts_find(hosts, host);
    if (set && set->endpoint)
        return set->endpoint;
    return sb_registry_endpoint(host);
}

static json_t *describe(const struct sb_registry_hosts *hosts, const struct sb_http_request *r,
                        struct sb_error *err) {
    const char *host = r->host ? r->host : "";
    sb_autojson json_t *headers = json_array();
    for (size_t i = 0; i < r->header_count; i++)
        if (json_array_append_new(headers,
                                  json_pack("[s, s]", r->headers[i].name, r->headers[i].value)) < 0)
            break;
    json_t *value = json_pack("{s:s, s:s, s:s, s:s, s:O, s:b, s:I, s:i}", "method", r->method,
                              "host", host, "endpoint", endpoint_of(hosts, host), "target",
                              r->target, "headers", headers, "sink", r->sink != NULL, "limit",
                              (json_int_t)(r->limit ? r->limit : LIMIT), "wait", r->wait_seconds);
    if (!value || json_array_size(headers) != r->header_count) {
        json_decref(value);
        sb_fail(err, SB_E_FAILED, "%s: a request that is not UTF-8", host);
        return NULL;
    }
    if (r->download)
        json_object_set_new(value, "download", json_true());
    if (r->timeout_seconds)
        json_object_set_new(value, "timeout", json_integer(r->timeout_seconds));
    if (r->scope)
        json_object_set_new(value, "scope", json_string(r->scope));
    if (r->aws)
        json_object_set_new(value, "aws", json_string(r->aws));
    if (r->body_kind != SB_HTTP_BODY_NONE) {
        bool in_file = r->body_kind == SB_HTTP_BODY_FILE;
        json_object_set_new(value, "body", json_string(in_file ? "file" : "bytes"));
        json_object_set_new(value, "size", json_integer((json_int_t)r->body_size));
        json_object_set_new(value, "offset",
                            json_integer(in_file ? (json_int_t)r->body_offset : 0));
    }
    return value;
}

/* In as many messages as it needs; the last one is of type last, and carries fd. */
static int send_parts(int channel, char more, char last, const char *bytes, size_t len, int fd,
                      struct sb_error *err) {
    for (; len > SB_CHANNEL_LIMIT; bytes += SB_CHANNEL_LIMIT, len -= SB_CHANNEL_LIMIT)
        if (sb_channel_send(channel, more, bytes, SB_CHANNEL_LIMIT, -1, err) < 0)
            return -1;
    return sb_channel_send(channel, last, bytes, len, fd, err);
}

static int send_request(int channel, const struct sb_registry_hosts *hosts,
                        const struct sb_http_request *r, struct sb_error *err) {
    sb_autojson json_t *value = describe(hosts, r, err);
    if (!value)
        return -1;
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(value, &text);
    int fd = r->body_kind == SB_HTTP_BODY_FILE ? r->body_fd : -1;
    if (send_parts(channel, 'r', 'R', text.data, text.len, fd, err) < 0)
        return -1;
    if (r->body_kind != SB_HTTP_BODY_BYTES || !r->body_size)
        return 0;
    return send_parts(channel, 'B', 'B', r->body, (size_t)r->body_size, -1, err);
}

/* ---- the answer ---- */

static int take_head(struct sb_buf *message, const struct sb_http_request *r,
                     struct sb_http_response *response, struct sb_error *err) {
    char *rest = message->data;
    const char *status = strsep(&rest, "\n");
    response->status = atoi(status);
    for (const char *line; rest && *rest && (line = strsep(&rest, "\n"));)
        sb_strings_add(&response->headers, line);
    return r->head ? r->head(r->data, response, err) : 0;
}

static int take_bytes(const struct sb_buf *message, const struct sb_http_request *r,
                      struct sb_http_response *response, struct sb_error *err) {
    if (r->sink && response->status >= 200 && response->status < 300)
        return r->sink(r->data, message->data, message->len, err);
    size_t limit = r->limit ? r->limit : LIMIT;
    if (message->len > limit - response->body.len)
        return sb_fail(err, SB_E_NETWORK, "%s: the answer is larger than %zu bytes",
                       r->host ? r->host : "", limit);
    sb_buf_add(&response->body, message->data, message->len);
    return 0;
}

/* Of a failure: never that there is none. */
static enum sb_error_code code_named(const char *name) {
#define X(code, text, status, meaning)                                                             \
    if (code != SB_E_NONE && !strcmp(name, text))                                                  \
        return code;
    SB_ERROR_CODES(X)
#undef X
    return SB_E_NETWORK;
}

static int take_end(const struct sb_buf *message, struct sb_http_response *response,
                    struct sb_error *err) {
    sb_autojson json_t *end = sb_json_parse(sb_buf_text(message), message->len, err);
    if (!end)
        return sb_error_context(err, "sbuild-http");
    response->sent = (uint64_t)sb_json_integer(end, "sent", 0);
    response->received = (uint64_t)sb_json_integer(end, "received", 0);
    const char *code = sb_json_string(end, "code", NULL);
    if (!code)
        return 0;
    const char *why = sb_json_string(end, "message", "");
    sb_fail(err, code_named(code), "%s", *why ? why : "the request failed");
    const char *hint = sb_json_string(end, "hint", "");
    if (*hint)
        sb_error_hint(err, "%s", hint);
    return sb_error_reason(err, sb_error_reason_named(sb_json_string(end, "reason", "")));
}

/* What is tidied up is tidied up after an interruption, too. */
static int check_wanted(const struct sb_http_request *r, struct sb_error *err) {
    if (r->parting)
        return 0;
    return sb_interrupt_check(err) < 0 ? -1 : sb_cancel_check(r->cancel, err);
}

static int wait_for_message(int channel, const struct sb_http_request *r, struct sb_error *err) {
    struct pollfd fds[3] = {{.fd = channel, .events = POLLIN},
                            {.fd = r->parting ? -1 : sb_interrupt_fd(), .events = POLLIN},
                            {.fd = r->parting ? -1 : sb_cancel_fd(r->cancel), .events = POLLIN}};
    int n;
    while ((n = poll(fds, 3, r->parting ? PARTING_MS : -1)) < 0)
        if (errno != EINTR)
            return sb_fail_errno(err, SB_E_FAILED, "waiting for sbuild-http");
    if (n == 0)
        return sb_fail(err, SB_E_NETWORK, "%s: no answer in time", r->host ? r->host : "");
    if (check_wanted(r, err) == 0)
        return 0;
    if (!r->whole || poll(fds, 1, WHOLE_MS) <= 0)
        return -1;
    if (err)
        sb_error_clear(err);
    return 0;
}

/* 1: the exchange ended (with what *out_result says), and the channel can be used again; -1: the
 * channel is in the middle of something. */
static int receive_answer(struct sb_http_program *program, struct sb_http_channel *channel,
                          const struct sb_http_request *r, struct sb_http_response *response,
                          int *out_result, struct sb_error *err) {
    for (;;) {
        char type;
        if (wait_for_message(channel->fd, r, err) < 0)
            return -1;
        int got = sb_channel_receive(channel->fd, &type, &channel->message, NULL, err);
        if (got == 0)
            sb_http_program_lost(program, err);
        if (got <= 0)
            return -1;
        int result = 0;
        switch (type) {
        case 'H':
            result = take_head(&channel->message, r, response, err);
            break;
        case 'D':
            result = take_bytes(&channel->message, r, response, err);
            break;
        case 'E':
            *out_result = take_end(&channel->message, response, err);
            return 1;
        case 'F': /* it did not understand the request */
            if (take_end(&channel->message, response, err) == 0)
                sb_fail(err, SB_E_FAILED, "sbuild-http refused the request, and did not say why");
            return -1;
        default:
            result = sb_fail(err, SB_E_FAILED, "sbuild-http sends what was not asked for");
        }
        if (result != 0)
            return -1;
    }
}

static struct sb_http_program *current_program(struct sb_http *http, struct sb_error *err) {
    pthread_mutex_lock(&http->mutex);
    if (http->program && sb_http_program_is_lost(http->program)) {
        sb_http_program_drop(http->program);
        http->program = NULL;
    }
    if (!http->program)
        http->program = sb_http_program_start(&http->options, err);
    struct sb_http_program *program = http->program;
    if (program)
        sb_http_program_hold(program);
    pthread_mutex_unlock(&http->mutex);
    return program;
}

void sb_http_prepare(struct sb_http *http) {
    struct sb_error ignored = {0};
    sb_http_program_drop(current_program(http, &ignored));
}

int sb_http_perform(struct sb_http *http, const struct sb_http_request *request,
                    struct sb_http_response *response, struct sb_error *err) {
    *response = (struct sb_http_response){0};
    if (check_wanted(request, err) < 0)
        return -1;
    struct sb_http_program *program = current_program(http, err);
    if (!program)
        return -1;
    int result = -1;
    bool kept = false;
    struct sb_http_channel *channel = sb_http_channel_take(program, err);
    if (channel && send_request(channel->fd, http->options.hosts, request, err) == 0)
        kept = receive_answer(program, channel, request, response, &result, err) > 0;
    else if (channel && err && err->os_errno == EPIPE)
        sb_http_program_lost(program, err);
    if (channel)
        sb_http_channel_give_back(program, channel, kept);
    sb_http_program_drop(program);
    return result;
}
