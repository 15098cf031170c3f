/*
 * http/exchange: one HTTP request and its answer on a libcurl handle: no redirects, no credentials,
 * no second try. Bounds what the server sends, and ends a transfer in which nothing moves.
 */
#ifndef SB_HTTP_EXCHANGE_H
#define SB_HTTP_EXCHANGE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http/header.h"
#include "http/tls.h"

#define SB_HEADERS_LIMIT      (64u << 10) /* bytes of all headers of an answer */
#define SB_HEADER_COUNT_LIMIT 200

struct sb_exchange {
    /* Filled by the caller; all of it is the caller's. */
    CURLU *url;
    const char *method;
    const struct sb_strings *headers; /* "Name: value"; NULL: none */
    const char *authorization;        /* the header's value; NULL: none */
    struct sb_tls *tls;
    bool has_body;
    int body_fd; /* -1: in body_bytes */
    const void *body_bytes;
    uint64_t body_offset, body_size;
    /* Takes the body of a 2xx answer as it comes; status and headers are filled by then. NULL: it
     * goes to body, and more than limit bytes are an error. Other answers' bodies always go to
     * body, and are cut at limit. Not 0 ends the exchange with the error that it set. */
    int (*stream)(void *data, const void *bytes, size_t len, struct sb_error *err);
    bool (*gone)(void *data); /* asked now and then: true ends the exchange; may be NULL */
    void *data;
    size_t limit;
    int stall_seconds;  /* without a byte in either direction; ten times as long with next to none,
                           and  twenty times for the whole of an answer that is kept in memory */
    int wait_seconds;   /* from the request's last byte to the answer's first, if more */
    int timeout_ms;     /* for all of it; 0: none */
    bool direct;        /* through no proxy */
    bool foreign;       /* a server chose the address: link-local ones are refused, and … */
    bool to_loopback;   /* … loopback ones too, unless this is set */
    bool to_link_local; /* else link-local ones are refused whoever chose them: no registry is
                           there, but on a machine in a cloud all its credentials */
    bool download;      /* a file of anybody's: link-local addresses are refused always, and those
                           of this machine and its networks where foreign says so, unless … */
    bool to_private;    /* … the first one that was asked was such a one */

    /* Filled by the exchange. */
    int status;                       /* 0 when no answer began */
    struct sb_strings answer_headers; /* "name: value", names in lower case */
    struct sb_buf body;
    uint64_t sent, received; /* bytes of bodies */
    bool at_loopback;        /* the server is on this machine */
    bool at_private;         /* or on one of its networks */
};

/* Makes it. Any answer is success. Errors as of sb_http_perform (registry/http.h). What is filled
 * is freed by sb_exchange_free in every case; run it again after that. */
int sb_exchange_run(CURL *curl, struct sb_exchange *exchange, struct sb_error *err);
void sb_exchange_free(struct sb_exchange *exchange);

#endif
