/*
 * http/aws_error: what AWS says when it refuses: JSON ({"__type", "message"}) or XML (<Code>,
 * <Message>), by protocol, and now and then the other one.
 */
#ifndef SB_HTTP_AWS_ERROR_H
#define SB_HTTP_AWS_ERROR_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/text.h"
#include "http/simple.h"

struct sb_aws_error {
    char code[64]; /* "ExpiredTokenException"; letters and dots; "" when it said none */
    /* In quotes; "" likewise. Only the first line: what was signed, the session token with it, may
     * follow. */
    struct sb_text_shown message;
};

struct sb_aws_error sb_aws_error_read(const struct sb_buf *body);

/* The error "what: status 403, AccessDenied: …", SB_REASON_PASSING where repeating may help.
 * Returns -1. */
int sb_aws_error_fail(const struct sb_simple_response *response, const struct sb_aws_error *error,
                      const char *what, struct sb_error *err);

/* The text of the first element of that name in a flat answer; NULL when there is none. The
 * caller's. */
char *sb_aws_element(const struct sb_buf *xml, const char *name);

#endif
