/*
 * http/aws_credentials: the standard chain in which credentials for AWS are looked for
 * (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html):
 *
 *   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   2. AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN (a pod with a role), through STS
 *   3. the profile in ~/.aws: keys, a role over another profile, credential_process
 *   4. AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or …_FULL_URI (ECS, EKS pod identity)
 *   5. the metadata of the EC2 instance, version 2 only
 *
 * The first that is set up decides: when it fails, that is the error. Nothing is kept on disk.
 */
#ifndef SB_HTTP_AWS_CREDENTIALS_H
#define SB_HTTP_AWS_CREDENTIALS_H

#include "base/error.h"
#include "http/aws_config.h"
#include "http/aws_sigv4.h"
#include "http/settings.h"

/* What one look through the chain knows. */
struct sb_aws_search {
    const struct sb_settings *settings;
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

/* The keys; the caller's to free. Kept in the process until 5 minutes before they expire; one
 * thread looks and the others wait. When there are none: SB_E_NOT_FOUND, with all that was tried.
 */
int sb_aws_keys_get(const struct sb_settings *settings, const char *region, struct sb_aws_keys *out,
                    struct sb_error *err);
/* Looks anew next time: AWS said that the keys have expired. */
void sb_aws_keys_forget(void);

#endif
