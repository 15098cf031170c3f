/*
 * http/aws_endpoint: where AWS's services are asked.
 *
 * AWS_ENDPOINT_URL_ECR, …_ECR_PUBLIC and …_STS, then AWS_ENDPOINT_URL, then endpoint_url of the
 * profile come before what AWS calls its endpoints; none of them when
 * AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true.
 */
#ifndef SB_HTTP_AWS_ENDPOINT_H
#define SB_HTTP_AWS_ENDPOINT_H

#include <stdbool.h>

#include "base/error.h"
#include "http/aws_config.h"

/* service is "ecr", "ecr-public" or "sts", with "-fips" and "-dual" behind it, in this order, where
 * that kind of endpoint is wanted. Returns "https://host[:port]/[path/]", the caller's; NULL and
 * SB_E_NETWORK when the region or the configured URL can't be right. config may be NULL. */
char *sb_aws_endpoint(const char *service, const char *region, const struct sb_aws_config *config,
                      struct sb_error *err);

/* The name that is signed: the service without "-fips" and "-dual"; the caller's. */
char *sb_aws_signing_name(const char *service);

/* AWS_REGION, AWS_DEFAULT_REGION, the profile's region, or fallback; not yet checked. */
const char *sb_aws_region(const struct sb_aws_config *config, const char *fallback);

#endif
