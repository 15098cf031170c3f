#include "registry/ways.h"

#include <string.h>

#include "base/ecr.h"
#include "base/json.h"

struct sb_registry_ways sb_registry_ways(const char *host) {
    struct sb_ecr_host ecr;
    if (!sb_ecr_host_parse(host, &ecr))
        return (struct sb_registry_ways){0};
    return (struct sb_registry_ways){
        .ecr = true,
        .min_chunk = 5u << 20,
        .patch_created = true,
        .range_stale = true,
        .max_blob = (uint64_t)52000 << 20,
        .max_tags = 1000,
    };
}

/* ECR: 400 TAG_INVALID "The image tag 'x' already exists in the 'y' repository and cannot be
 * overwritten because the tag is immutable." Harbor: 412 PRECONDITION; Quay and others: 409 or 400
 * TAG_IMMUTABLE. The codes alone can mean other things, so the message must agree. */
bool sb_registry_tag_immutable(int status, const char *body, size_t len) {
    if (status < 400 || status >= 500)
        return false;
    sb_autojson json_t *answer = sb_json_parse(body, len, NULL);
    const json_t *errors = json_object_get(answer, "errors");
    for (size_t i = 0; i < json_array_size(errors); i++) {
        const json_t *error = json_array_get(errors, i);
        const char *code = sb_json_string(error, "code", "");
        const char *message = sb_json_string(error, "message", "");
        if (!strcmp(code, "TAG_IMMUTABLE") || strstr(code, "ImageTagAlreadyExists") ||
            strstr(message, "ImageTagAlreadyExists"))
            return true;
        bool may = !strcmp(code, "TAG_INVALID") || !strcmp(code, "DENIED") ||
                   !strcmp(code, "PRECONDITION") || !strcmp(code, "MANIFEST_INVALID");
        if (may && strcasestr(message, "immutable"))
            return true;
    }
    return false;
}

int sb_registry_missing(const char *host, const char *repository, bool *done,
                        struct sb_error *err) {
    struct sb_ecr_host ecr;
    *done = sb_ecr_host_parse(host, &ecr);
    if (!*done)
        return -1;
    if (ecr.is_public)
        sb_fail(err, SB_E_NETWORK, "repository %s does not exist in public ECR", repository);
    else
        sb_fail(err, SB_E_NETWORK, "repository %s does not exist in account %s, region %s",
                repository, ecr.account, ecr.region);
    return sb_error_hint(err,
                         "create it, or have a template for creation on push, or let sbuild: "
                         "`sbuild push --create-repository`, or in the recipe repository: {name: "
                         "%s/%s, create: true}",
                         host, repository);
}
