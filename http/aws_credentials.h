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
#include "http/aws_sigv4.h"
#include "http/settings.h"

/* The keys; the caller's to free. Kept in the process until 5 minutes before they expire; one
 * thread looks and the others wait. When there are none: SB_E_NOT_FOUND, with all that was tried.
 */
int sb_aws_keys_get(const struct sb_http_settings *settings, const char *region,
                    struct sb_aws_keys *out, struct sb_error *err);
/* Looks anew next time: AWS said that the keys have expired. */
void sb_aws_keys_forget(void);

#endif
