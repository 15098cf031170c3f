#include "http/serve.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/thread.h"
#include "base/visible.h"
#include "http/proxy.h"
#include "http/transfer.h"

struct thread {
    const struct sb_http_service *service;
    int channel;
    struct sb_buf message; /* received */
    struct sb_buf held;    /* of the answer's body, until there is enough for a message */
};

/* ---- an answer ---- */

static int send_head(void *data, int status, const struct sb_strings *headers,
                     struct sb_error *err) {
    struct thread *t = data;
    sb_autobuf struct sb_buf text = {0};
    sb_buf_addf(&text, "%d\n", status);
    for (size_t i = 0; i < headers->n; i++)
        sb_buf_addf(&text, "%s\n", headers->v[i]);
    return sb_channel_send(t->channel, 'H', text.data, text.len, -1, err);
}

static int flush(struct thread *t, struct sb_error *err) {
    if (!t->held.len)
        return 0;
    int result = sb_channel_send(t->channel, 'D', t->held.data, t->held.len, -1, err);
    sb_buf_reset(&t->held);
    return result;
}

/* libcurl has 16 KiB at most at a time; a message costs more than moving them together. */
static int send_bytes(void *data, const void *bytes, size_t len, struct sb_error *err) {
    struct thread *t = data;
    const char *next = bytes;
    while (len) {
        size_t part = SB_CHANNEL_LIMIT - t->held.len;
        if (part > len)
            part = len;
        sb_buf_add(&t->held, next, part);
        next += part;
        len -= part;
        if (t->held.len == SB_CHANNEL_LIMIT && flush(t, err) < 0)
            return -1;
    }
    return 0;
}

static bool is_gone(void *data) {
    struct thread *t = data;
    char byte;
    return recv(t->channel, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static int send_end(struct thread *t, char type, int result, uint64_t sent, uint64_t received,
                    const struct sb_error *failure) {
    sb_autojson json_t *end =
        json_pack("{s:I, s:I}", "sent", (json_int_t)sent, "received", (json_int_t)received);
    if (result < 0) {
        json_object_set_new(end, "code", json_string(sb_error_name(failure->code)));
        json_object_set_new(end, "reason", json_string(sb_error_reason_name(failure->reason)));
        json_object_set_new(end, "message", json_string(failure->message));
        json_object_set_new(end, "hint", json_string(failure->hint));
    }
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(end, &text);
    return sb_channel_send(t->channel, type, text.data, text.len, -1, NULL);
}

/* A body may be on its way still: sbuild closes the channel when it has read what it was told. */
static void discard(struct thread *t) {
    char type;
    while (sb_channel_receive(t->channel, &type, &t->message, NULL, NULL) > 0)
        ;
}

/* ---- threads ---- */

static int answer(struct thread *t, struct sb_transfer *transfer) {
    struct sb_error err = {0};
    struct sb_request request;
    uint64_t sent = 0, received = 0;
    int got = sb_request_receive(t->channel, &t->message, &request, &err);
    if (got > 0) {
        struct sb_receiver receiver = {send_head, send_bytes, is_gone, t};
        int result = sb_transfer_run(transfer, &request, &receiver, &sent, &received, &err);
        struct sb_error ignored = {0};
        flush(t, result < 0 ? &ignored : &err);
        if (send_end(t, 'E', result, sent, received, &err) < 0)
            got = 0;
    } else if (got < 0) {
        send_end(t, 'F', -1, 0, 0, &err);
        discard(t);
    }
    sb_request_free(&request);
    return got;
}

static void *run(void *data) {
    struct thread *t = data;
    struct sb_transfer *transfer = sb_transfer_new(t->service);
    while (answer(t, transfer) > 0)
        ;
    sb_transfer_free(transfer);
    sb_buf_free(&t->message);
    sb_buf_free(&t->held);
    close(t->channel);
    free(t);
    return NULL;
}

static int start_thread(const struct sb_http_service *service, int channel) {
    struct thread *t = sb_alloc(sizeof *t);
    t->service = service;
    t->channel = channel;
    pthread_t thread;
    if (sb_thread_start(&thread, run, t) != 0) {
        close(channel);
        free(t);
        return -1;
    }
    pthread_detach(thread);
    return 0;
}

int sb_serve(int control) {
    struct sb_error err = {0};
    sb_autobuf struct sb_buf message = {0};
    struct sb_http_settings settings = {0};
    struct sb_http_service service = {.settings = &settings};
    char type;
    int fd;
    curl_global_init(CURL_GLOBAL_ALL);
    sb_proxy_init();
    while (sb_channel_receive(control, &type, &message, &fd, &err) > 0) {
        if (type == 'C' && !service.auth) {
            if (sb_http_settings_parse(sb_buf_text(&message), message.len, &settings, &err) < 0)
                break;
            service.auth = sb_auth_new(&settings);
            service.schemes = sb_schemes_new(&settings);
        } else if (type == 'N' && service.auth && fd >= 0) {
            start_thread(&service, sb_steal_fd(&fd));
        }
        sb_close_descriptor(&fd);
    }
    if (err.code) {
        sb_autofree char *visible = sb_visible(err.message, SB_VISIBLE_LINES);
        fprintf(stderr, "sbuild-http: %s\n", visible);
    }
    /* Threads may be in the middle of something that nobody waits for now. */
    _exit(err.code ? 1 : 0);
}
