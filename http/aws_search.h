/*
 * http/aws_search: what the sources of credentials for AWS share; for http/aws_credentials, which
 * asks them in turn, and for themselves: a role in a profile names another source.
 */
#ifndef SB_HTTP_AWS_SEARCH_H
#define SB_HTTP_AWS_SEARCH_H

#include "base/buffer.h"
#include "base/error.h"
#include "http/aws_config.h"
#include "http/aws_sigv4.h"
#include "http/settings.h"

/* What one look through the chain knows. */
struct sb_aws_search {
    const struct sb_http_settings *settings;
    struct sb_aws_config config;
    const char *region;  /* where STS is asked when nothing else says so */
    struct sb_buf tried; /* "environment: AWS_ACCESS_KEY_ID is not set; …": why it went on */
};

/* Each of the chain: 1 and keys, 0 when it is not set up (the reason was added to tried), or -1. */
int sb_aws_find_profile(struct sb_aws_search *search, struct sb_aws_keys *out,
                        struct sb_error *err);
int sb_aws_find_container(struct sb_aws_search *search, struct sb_aws_keys *out,
                          struct sb_error *err);
int sb_aws_find_instance(struct sb_aws_search *search, struct sb_aws_keys *out,
                         struct sb_error *err);
int sb_aws_find_environment(struct sb_aws_search *search, struct sb_aws_keys *out,
                            struct sb_error *err);

/* Roles, through STS. session may be NULL, external_id too. seconds 0: STS's default. */
struct sb_aws_role {
    const char *arn, *session, *external_id;
    const char *token_file; /* web identity; NULL: source is used */
    const struct sb_aws_keys *source;
    int seconds;
};
int sb_aws_assume_role(struct sb_aws_search *search, const struct sb_aws_role *role,
                       struct sb_aws_keys *out, struct sb_error *err);

/* Of the JSON that programs, containers and instances answer with; token_name is "SessionToken" or
 * "Token". what names the source in errors. */
int sb_aws_keys_of_json(const struct sb_buf *text, const char *token_name, const char *what,
                        struct sb_aws_keys *out, struct sb_error *err);
/* Keys are put into headers: only printable characters. */
int sb_aws_keys_check(const struct sb_aws_keys *keys, const char *what, struct sb_error *err);
/* "2026-01-02T03:04:05Z", with fractions or an offset; 0 when it is neither. */
int64_t sb_aws_time(const char *text);

#endif
