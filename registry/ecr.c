#include "registry/ecr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ecr.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "registry/remote.h"
#include "registry/ways.h"

/* ---- calls of the API ---- */

struct api {
    struct sb_registry *registry;
    const char *host;
    struct sb_ecr_host ecr;
    const char *repository; /* as the API calls it */
};

/* What it answered: JSON on success, else the name of the exception. */
struct answer {
    json_t *value;
    char exception[64]; /* "RepositoryNotFoundException"; "": none */
};

static void answer_free(struct answer *answer) {
    json_decref(answer->value);
}
#define sb_autoanswer __attribute__((cleanup(answer_free), unused))

static int place(const struct api *api, struct sb_error *err) {
    if (api->ecr.is_public)
        return sb_error_context(err, "repository %s of public ECR", api->repository);
    return sb_error_context(err, "repository %s in account %s, region %s", api->repository,
                            api->ecr.account, api->ecr.region);
}

/* "com.amazonaws.ecr#ServerException" to "ServerException", and the message's first line. */
static void read_exception(const struct sb_http_response *response, struct answer *out,
                           struct sb_text_shown *out_message) {
    struct sb_error ignored = {0};
    sb_autojson json_t *value =
        sb_json_parse(sb_buf_text(&response->body), response->body.len, &ignored);
    const char *type = sb_json_string(value, "__type", "");
    const char *hash = strrchr(type, '#');
    type = hash ? hash + 1 : type;
    size_t len = strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    snprintf(out->exception, sizeof out->exception, "%.*s", (int)len, type);
    if (!*out->exception)
        snprintf(out->exception, sizeof out->exception, "status %d", response->status);
    const char *text = sb_json_string(value, "message", sb_json_string(value, "Message", ""));
    sb_autofree char *line = sb_strndup(text, strcspn(text, "\r\n"));
    *out_message = sb_text_shown(line);
}

static int take_answer(const struct api *api, const char *operation,
                       const struct sb_http_response *response, struct answer *out,
                       struct sb_error *err) {
    if (response->status == 200) {
        out->value = sb_json_parse(sb_buf_text(&response->body), response->body.len, err);
        if (out->value)
            return 0;
        err->code = SB_E_NETWORK;
        sb_error_context(err, "%s", operation);
        return place(api, err);
    }
    struct sb_text_shown message;
    read_exception(response, out, &message);
    sb_fail(err, SB_E_NETWORK, "%s: %s: %s", operation, out->exception, message.text);
    if (response->status >= 500 || response->status == 429 || strstr(out->exception, "Throttl"))
        sb_error_reason(err, SB_REASON_PASSING);
    if (strstr(out->exception, "AccessDenied") || response->status == 403) {
        sb_error_reason(err, SB_REASON_DENIED);
        sb_error_hint(err, "the user or role needs the right %s:%s", sb_ecr_service(&api->ecr),
                      operation);
    }
    return place(api, err);
}

/* -1 with an exception when the API refused; repeated while that helps. */
static int call(const struct api *api, const char *operation, json_t *body, struct answer *out,
                struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(body, &text);
    json_decref(body);
    sb_autofree char *aws =
        sb_format("%s%s%s/%s", sb_ecr_service(&api->ecr), api->ecr.fips ? "-fips" : "",
                  api->ecr.dual_stack ? "-dual" : "", api->ecr.region);
    sb_autofree char *target = sb_format(
        "%s.%s",
        api->ecr.is_public ? "SpencerFrontendService" : "AmazonEC2ContainerRegistry_V20150921",
        operation);
    struct sb_http_header headers[] = {{"Content-Type", "application/x-amz-json-1.1"},
                                       {"X-Amz-Target", target}};
    struct sb_http_request request = {.method = "POST",
                                      .host = "",
                                      .target = "/",
                                      .aws = aws,
                                      .headers = headers,
                                      .header_count = 2,
                                      .body_kind = SB_HTTP_BODY_BYTES,
                                      .body = text.data,
                                      .body_size = text.len};
    struct sb_retry retry = sb_registry_retry(api->registry, api->host);
    for (;;) {
        struct sb_http_response response = {0};
        *out = (struct answer){0};
        sb_error_clear(err);
        int result = sb_http_perform(sb_registry_http(api->registry), &request, &response, err);
        if (result == 0)
            result = take_answer(api, operation, &response, out, err);
        else
            place(api, err);
        sb_http_response_free(&response);
        if (result == 0 || sb_retry_again(&retry, -1, NULL, err) <= 0)
            return result;
    }
}

/* ---- the repository ---- */

/* {"repositoryName": NAME, "registryId": ACCOUNT} */
static json_t *named(const struct api *api) {
    json_t *body = json_pack("{s:s}", "repositoryName", api->repository);
    if (!api->ecr.is_public)
        json_object_set_new(body, "registryId", json_string(api->ecr.account));
    return body;
}

/* 1: there, 0: not, or nobody may say so; -1. */
static int find(const struct api *api, struct sb_error *err) {
    json_t *body = json_pack("{s:[s]}", "repositoryNames", api->repository);
    if (!api->ecr.is_public)
        json_object_set_new(body, "registryId", json_string(api->ecr.account));
    sb_autoanswer struct answer answer = {0};
    if (call(api, "DescribeRepositories", body, &answer, err) == 0)
        return json_array_size(json_object_get(answer.value, "repositories")) > 0;
    if (!strcmp(answer.exception, "RepositoryNotFoundException") ||
        !strcmp(answer.exception, "AccessDeniedException")) {
        sb_error_clear(err);
        return 0;
    }
    return -1;
}

/* 1: made, 0: another was faster, -1. */
static int create(const struct api *api, const struct sb_ecr_options *options,
                  struct sb_error *err) {
    json_t *body = named(api);
    if (!api->ecr.is_public) {
        json_object_set_new(body, "imageTagMutability",
                            json_string(options->immutable_tags ? "IMMUTABLE" : "MUTABLE"));
        json_object_set_new(body, "imageScanningConfiguration",
                            json_pack("{s:b}", "scanOnPush", options->scan_on_push));
    }
    sb_autoanswer struct answer answer = {0};
    if (call(api, "CreateRepository", body, &answer, err) == 0)
        return 1;
    if (strcmp(answer.exception, "RepositoryAlreadyExistsException") != 0)
        return -1;
    sb_error_clear(err);
    return 0;
}

static int keep_last(const struct api *api, int64_t count, struct sb_error *err) {
    sb_autofree char *description = sb_format("keep the last %lld images", (long long)count);
    sb_autojson json_t *policy = json_pack(
        "{s:[{s:i, s:s, s:{s:s, s:s, s:I}, s:{s:s}}]}", "rules", "rulePriority", 1, "description",
        description, "selection", "tagStatus", "any", "countType", "imageCountMoreThan",
        "countNumber", (json_int_t)count, "action", "type", "expire");
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(policy, &text);
    json_t *body = named(api);
    json_object_set_new(body, "lifecyclePolicyText", json_string(sb_buf_text(&text)));
    sb_autoanswer struct answer answer = {0};
    if (call(api, "PutLifecyclePolicy", body, &answer, err) == 0)
        return 0;
    sb_error_hint(err, "the repository was created without it: set the policy by hand, or delete "
                       "the repository and push again");
    return -1;
}

/* "ALIAS/name" of public ECR: its API knows the name alone. */
static const char *api_name(const struct sb_ecr_host *ecr, const char *repository) {
    const char *slash = ecr->is_public ? strchr(repository, '/') : NULL;
    return slash ? slash + 1 : repository;
}

int sb_ecr_ensure_repository(struct sb_registry *registry, const char *host, const char *repository,
                             const struct sb_ecr_options *options, struct sb_error *err) {
    struct api api = {.registry = registry, .host = host};
    if (!options->create || !sb_ecr_host_parse(host, &api.ecr))
        return 0;
    api.repository = api_name(&api.ecr, repository);
    if (api.ecr.is_public &&
        (options->scan_on_push || options->immutable_tags || options->lifecycle_keep)) {
        sb_fail(err, SB_E_NETWORK, "public ECR has neither scans, immutable tags nor lifecycles");
        return place(&api, err);
    }
    int found = find(&api, err);
    if (found)
        return found < 0 ? -1 : 0;
    int made = create(&api, options, err);
    if (made > 0 && options->lifecycle_keep > 0)
        return keep_last(&api, options->lifecycle_keep, err);
    return made < 0 ? -1 : 0;
}

int sb_ecr_check_quotas(const char *host, const struct sb_descriptor *blobs, size_t blob_count,
                        size_t tag_count, struct sb_error *err) {
    struct sb_registry_ways ways = sb_registry_ways(host);
    for (size_t i = 0; ways.max_blob && i < blob_count; i++) {
        if (blobs[i].size <= ways.max_blob)
            continue;
        sb_fail(err, SB_E_NETWORK, "%s: layer %s has %s, and ECR takes at most %s", host,
                sb_digest_text(&blobs[i].digest).text, sb_text_size(blobs[i].size).text,
                sb_text_size(ways.max_blob).text);
        return sb_error_hint(err, "make several layers of it");
    }
    if (ways.max_tags && tag_count > ways.max_tags)
        return sb_fail(err, SB_E_NETWORK, "%s: %zu tags for one image, and ECR takes at most %zu",
                       host, tag_count, ways.max_tags);
    return 0;
}
