/*
 * http/simple: one small HTTP exchange that this program makes for itself: a token, credentials of
 * an instance, a login. With a handle of its own, so that it can be made in the middle of another
 * request; from any thread. Redirects are not followed: the answer says 3xx.
 */
#ifndef SB_HTTP_SIMPLE_H
#define SB_HTTP_SIMPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http/header.h"
#include "http/settings.h"

struct sb_simple_request {
    const char *method; /* "GET" */
    const char *url;    /* absolute, http: or https: */
    const char *host;   /* the registry in whose name it is made: its authorities (ca, certs.d) and
                           skip_verify count for url as well, as with Docker; NULL: none */
    const struct sb_strings *headers; /* "Name: value"; NULL: none */
    const void *body;                 /* NULL: none */
    size_t body_len;
    size_t limit;   /* bytes of the answer's body; more is an error; 0: 64 KiB */
    int timeout_ms; /* for all of it; 0: 30 s */
    bool direct;    /* never through a proxy: metadata of the machine */
    bool foreign;   /* a server chose the url: it may not lead to link-local addresses */
};

struct sb_simple_response {
    int status;
    struct sb_strings headers; /* "name: value", names in lower case */
    struct sb_buf body;
};
/* Overwrites the body: it may hold a token. */
void sb_simple_response_free(struct sb_simple_response *response);

#define sb_autosimple __attribute__((cleanup(sb_simple_response_free), unused))

/* Any answer is success. Otherwise SB_E_NETWORK, as sb_http_perform (registry/http.h):
 * SB_REASON_PASSING when repeating may help. Free response in every case. */
int sb_simple(const struct sb_http_settings *settings, const struct sb_simple_request *request,
              struct sb_simple_response *response, struct sb_error *err);

#endif
