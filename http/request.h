/*
 * http/request: what sbuild asks for on a channel (docs/formats.md, "Between sbuild and
 * sbuild-http").
 */
#ifndef SB_HTTP_REQUEST_H
#define SB_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

#define SB_BODY_LIMIT (64u << 20) /* bytes of a body that comes in messages */

struct sb_request {
    char *method;
    char *host;                /* the registry, "" for none */
    char *endpoint;            /* where its requests go: "registry-1.docker.io" for docker.io */
    char *target;              /* "/v2/…" or a URL */
    char *scope;               /* NULL: none */
    char *aws;                 /* "ecr/us-west-2"; NULL: not signed */
    struct sb_strings headers; /* "Name: value" */
    bool has_body;
    int body_fd;        /* -1: the body is in body */
    uint64_t body_size; /* of either */
    uint64_t body_offset;
    struct sb_buf body;
    bool sink;     /* the body of a 2xx answer is taken as it comes, however long it is */
    size_t limit;  /* otherwise: bytes of the answer's body */
    int wait;      /* seconds until the answer begins; 0: as every stall */
    bool download; /* a file of anybody's, not a registry's */
    int timeout;   /* seconds for each exchange; 0: none */
};

/* Waits for the next request. Returns 1, 0 when sbuild is gone or does not need the channel
 * any more, or -1 when what came makes no sense. Free out in every case. */
int sb_request_receive(int channel, struct sb_buf *message, struct sb_request *out,
                       struct sb_error *err);
/* Passwords and tokens may be in headers and body: overwrites them. */
void sb_request_free(struct sb_request *request);

#endif
