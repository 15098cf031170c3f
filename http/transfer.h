/*
 * http/transfer: a request of sbuild, done: to the registry with the right scheme, credentials and
 * TLS settings, and on to where it redirects.
 */
#ifndef SB_HTTP_TRANSFER_H
#define SB_HTTP_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http/auth.h"
#include "http/request.h"
#include "http/scheme.h"
#include "http/settings.h"

/* What all threads share. */
struct sb_http_service {
    const struct sb_http_settings *settings;
    struct sb_auth *auth;
    struct sb_schemes *schemes;
};

/* Whom the answer is for. */
struct sb_receiver {
    int (*head)(void *data, int status, const struct sb_strings *headers, struct sb_error *err);
    int (*bytes)(void *data, const void *bytes, size_t len, struct sb_error *err);
    bool (*gone)(void *data); /* nobody waits any more */
    void *data;
};

/* One thread's: its libcurl handle, whose connections stay open between requests. */
struct sb_transfer;
struct sb_transfer *sb_transfer_new(const struct sb_http_service *service);
void sb_transfer_free(struct sb_transfer *transfer); /* NULL is allowed */

/* As sb_http_perform (registry/http.h): head once, then bytes. */
int sb_transfer_run(struct sb_transfer *transfer, const struct sb_request *request,
                    const struct sb_receiver *receiver, uint64_t *out_sent, uint64_t *out_received,
                    struct sb_error *err);

#endif
