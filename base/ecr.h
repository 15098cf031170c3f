/*
 * base/ecr: host names of Amazon's registries (ECR), for both programs: sbuild knows by them how a
 * registry behaves, sbuild-http whom to ask for its credentials.
 *
 *     ACCOUNT.dkr.ecr.REGION.amazonaws.com          also .com.cn, .eu and other partitions
 *     ACCOUNT.dkr.ecr-fips.REGION.amazonaws.com
 *     ACCOUNT.dkr-ecr.REGION.on.aws                 IPv4 and IPv6; also dkr-ecr-fips
 *     public.ecr.aws                                public ECR, whose API is in us-east-1
 */
#ifndef SB_BASE_ECR_H
#define SB_BASE_ECR_H

#include <stdbool.h>

struct sb_ecr_host {
    char account[13]; /* "123456789012"; "" for public ECR */
    char region[32];  /* "us-west-2" */
    bool fips;        /* the API is asked at its FIPS 140 endpoint */
    bool dual_stack;  /* … at the one with IPv6 */
    bool is_public;
};

/* False when the host is not one of ECR. A port, upper case or anything before or after is none. */
bool sb_ecr_host_parse(const char *host, struct sb_ecr_host *out);

/* "ecr" or "ecr-public": the service whose name is signed. */
const char *sb_ecr_service(const struct sb_ecr_host *host);

/* A region as AWS names them: lower-case letters, digits and dashes; so it can't change a URL. */
bool sb_aws_region_valid(const char *region);

#endif
