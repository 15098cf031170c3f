/*
 * http/aws_sigv4: Signature Version 4 of a request to AWS
 * (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html).
 *
 * The signature covers method, path, query, the host, the headers given here and the body. What
 * goes over the wire must be those very bytes.
 */
#ifndef SB_HTTP_AWS_SIGV4_H
#define SB_HTTP_AWS_SIGV4_H

#include <stdint.h>

#include "base/buffer.h"

/* Keys for a while, or for good. */
struct sb_aws_keys {
    char *access_key, *secret_key;
    char *session_token; /* NULL: the keys are of a user, not of a role */
    int64_t expires;     /* Unix seconds; 0: never */
    const char *source;  /* "the environment": static, for messages; NULL: none to name */
};
void sb_aws_keys_copy(struct sb_aws_keys *to, const struct sb_aws_keys *from);
/* Wipes the memory, too. */
void sb_aws_keys_free(struct sb_aws_keys *keys);
#define sb_autokeys __attribute__((cleanup(sb_aws_keys_free)))

struct sb_sigv4_request {
    const char *method; /* "POST" */
    const char *url;    /* "https://api.ecr.us-west-2.amazonaws.com/[path][?query]", encoded */
    const struct sb_strings *headers; /* "name: value", in any case; NULL: none */
    const void *body;
    size_t body_len;
    const char *service, *region; /* "ecr", "us-west-2" */
    int64_t time;                 /* Unix seconds: the server's clock must be within 5 minutes */
};

/* Appends "Name: value" lines that the request must have beside its own: X-Amz-Date,
 * X-Amz-Security-Token where there is one, Authorization. */
void sb_sigv4_sign(const struct sb_sigv4_request *request, const struct sb_aws_keys *keys,
                   struct sb_strings *out);

#endif
