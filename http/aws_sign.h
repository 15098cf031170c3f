/*
 * http/aws_sign: requests to the AWS API are signed (Signature Version 4) with what the standard
 * credential chain finds.
 */
#ifndef SB_HTTP_AWS_SIGN_H
#define SB_HTTP_AWS_SIGN_H

#include "base/buffer.h"
#include "base/error.h"
#include "http/settings.h"

struct sb_aws_request {
    const char *service, *region; /* "ecr", "us-west-2" */
    const char *method;
    const char *url;                  /* absolute */
    const struct sb_strings *headers; /* "Name: value", all that will be sent and must be signed */
    const void *body;
    size_t body_len;
};

/* Appends the headers to send as well ("Authorization: …", "X-Amz-Date: …"). Error: SB_E_NETWORK,
 * SB_REASON_PASSING when repeating may help. From any thread. */
int sb_aws_sign(const struct sb_http_settings *settings, const struct sb_aws_request *request,
                struct sb_strings *out_headers, struct sb_error *err);

/* Where a service is asked ("https://api.ecr.us-west-2.amazonaws.com/"), by what the environment
 * and the profile say, or AWS's own names; the caller's. NULL and SB_E_NETWORK when that can't be
 * had. service as for signing; "ecr-fips" and "ecr-dual" are its other endpoints
 * (http/aws_endpoint). */
char *sb_aws_url(const char *service, const char *region, struct sb_error *err);

/* Overwrites the keys that these requests are signed with, where a text repeats them: AWS answers a
 * wrong signature with what it should have been made of. */
void sb_aws_hide(const struct sb_http_settings *settings, const char *region, struct sb_buf *text);

#endif
