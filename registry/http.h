/*
 * registry/http: HTTP requests, made by a program of its own (http/, `sbuild-http`), so that
 * neither libcurl's start-up, nor passwords and tokens, nor a server's first bytes are in this
 * process.
 *
 * The program is started by the first request and ends with this process. It knows the credentials
 * (docker's config files, helpers, ECR) and adds them by itself, follows redirects where that is
 * safe, verifies TLS, and ends a transfer that stalls. It does not repeat what failed: whoever asks
 * knows what can be repeated and where to go on (registry/remote).
 *
 * Requests may be made from several threads at once; each uses a connection of its own while it
 * lasts, which is kept open for the next one.
 */
#ifndef SB_REGISTRY_HTTP_H
#define SB_REGISTRY_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/cancel.h"
#include "base/error.h"
#include "registry/http_options.h"

struct sb_http;

/* Starts nothing yet, and can't fail. */
struct sb_http *sb_http_new(const struct sb_http_options *options);
/* Starts the program now already, so that the first request need not wait for that (10 ms). What
 * fails fails again with the first request. From a thread that lives as long as that. */
void sb_http_prepare(struct sb_http *http);
void sb_http_free(struct sb_http *http); /* NULL is allowed; ends the program */

enum sb_http_body {
    SB_HTTP_BODY_NONE,
    SB_HTTP_BODY_BYTES,
    SB_HTTP_BODY_FILE, /* a range of an open file, read by the program itself */
};

struct sb_http_header {
    const char *name, *value;
};

struct sb_http_response {
    int status;
    struct sb_strings headers; /* "name: value", names in lower case */
    struct sb_buf body;
    uint64_t sent, received; /* bytes of bodies, also when the exchange failed */
};
void sb_http_response_free(struct sb_http_response *response);
/* Of the first header of that lower-case name; NULL when there is none. */
const char *sb_http_header(const struct sb_http_response *response, const char *name);

struct sb_http_request {
    const char *method; /* "GET" */
    const char *host;   /* the registry: decides TLS settings and credentials; "" for none */
    const char *target; /* "/v2/…" on the registry, or an absolute http: or https: URL. Credentials
                           of the registry go only to its own scheme, host and port. A URL on the
                           registry's own host says which scheme it has (a mirror's); one on another
                           host is taken for the registry's words, and refused where a redirect
                           would be */
    const char *scope;  /* for bearer tokens: "repository:team/app:pull,push"; several separated by
                           blanks; NULL: none */
    const char *aws;    /* sign with SigV4 instead, for "SERVICE/REGION" ("ecr/us-west-2"); NULL.
                           With host "" and target "/…" it goes to that service's endpoint */
    const struct sb_http_header *headers;
    size_t header_count;
    enum sb_http_body body_kind;
    const void *body; /* SB_HTTP_BODY_BYTES */
    int body_fd;      /* SB_HTTP_BODY_FILE */
    uint64_t body_offset, body_size;
    /* Where the body of a 2xx answer goes; NULL: to the response. Not 0 ends the transfer, with the
     * error that it set. */
    int (*sink)(void *data, const void *bytes, size_t len, struct sb_error *err);
    /* Told once before the first sink call, with the response's status and headers. May be NULL. */
    int (*head)(void *data, const struct sb_http_response *response, struct sb_error *err);
    void *data;
    size_t limit; /* bytes of a body kept in the response: more is an error (of a 2xx answer) or is
                     cut (of others); 0: 64 KiB */
    const struct sb_cancel *cancel; /* ends it, whatever it is doing; may be NULL */
    int wait_seconds; /* for the answer's first byte, where the registry has long to work (moving
                         what was uploaded); 0: as every stall, with time to hash what was sent */
    bool whole; /* what was begun is ended, for a second more, when it is cancelled or interrupted:
                   a registry that got a part of it may not know what to do with the rest */
    bool download;       /* a file of anybody's, with host "": more redirects are followed, also to
                            servers       without TLS (whoever asks knows the digest), but none to this
                            machine,       its       networks or the local link */
    int timeout_seconds; /* for each exchange; 0: none */
    bool parting; /* what is left behind is tidied up: an interruption does not keep it from being
                     made, but it may take two seconds only, then it has failed */
};

/* Makes one request. Any answer of the server is success, whatever its status. Otherwise -1:
 *   SB_E_NETWORK with SB_REASON_PASSING  may work when repeated: refused, reset, stalled, closed
 *                                        early, name not found for now
 *   SB_E_NETWORK with another reason     will not: TLS verification, a redirect that isn't allowed,
 *                                        credentials that can't be had
 *   SB_E_INTERRUPTED, also when cancelled, or what sink and head set.
 * Messages name the host and never hold a credential. Free response in every case. */
int sb_http_perform(struct sb_http *http, const struct sb_http_request *request,
                    struct sb_http_response *response, struct sb_error *err);

#endif
