/*
 * registry/ecr: repositories of Amazon's registry: made where they are missing, and what ECR
 * limits.
 *
 * ECR makes no repository on push. Its API does (https://docs.aws.amazon.com/AmazonECR/latest/
 * APIReference); sbuild-http signs the requests and knows where the API is, so no key is here.
 */
#ifndef SB_REGISTRY_ECR_H
#define SB_REGISTRY_ECR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "layers/store.h"
#include "registry/http.h"

struct sb_registry;

/* Of a repository; zero values: ECR's defaults. */
struct sb_ecr_options {
    bool create;       /* when it is missing */
    bool scan_on_push; /* all below only when it is created: what exists is left as it is */
    bool immutable_tags;
    int64_t lifecycle_keep; /* images, tagged or not, before the oldest expire; 0: all */
};

/* With create: asks for the repository, and makes it if it is missing; another process may do so at
 * the same time. Without, asks nobody. Does nothing for hosts that aren't ECR's. Errors are
 * SB_E_NETWORK and name repository, account and region; with SB_REASON_DENIED the user or role may
 * not: ECR may make it by itself, by a template for creation on push. */
int sb_ecr_ensure_repository(struct sb_registry *registry, const char *host, const char *repository,
                             const struct sb_ecr_options *options, struct sb_error *err);

/* What ECR would refuse after an upload of gigabytes: blobs over 52,000 MiB, more than 1,000 tags
 * of one image. SB_E_NETWORK. */
int sb_ecr_check_quotas(const char *host, const struct sb_descriptor *blobs, size_t blob_count,
                        size_t tag_count, struct sb_error *err);

#endif
