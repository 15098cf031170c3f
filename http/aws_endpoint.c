#include "http/aws_endpoint.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ecr.h"
#include "base/memory.h"
#include "base/text.h"

/* ---- names of services ---- */

struct service {
    char *name; /* "ecr" */
    bool fips, dual;
};

static bool cut_suffix(char *text, const char *suffix) {
    size_t len = strlen(text), n = strlen(suffix);
    if (len <= n || strcmp(text + len - n, suffix) != 0)
        return false;
    text[len - n] = '\0';
    return true;
}

static struct service parse_service(const char *text) {
    struct service service = {.name = sb_strdup(text)};
    service.dual = cut_suffix(service.name, "-dual");
    service.fips = cut_suffix(service.name, "-fips");
    return service;
}

char *sb_aws_signing_name(const char *service) {
    return parse_service(service).name;
}

/* ---- AWS's own names ---- */

static const struct partition {
    const char *prefix; /* of its regions */
    const char *suffix, *dual_suffix;
} partitions[] = {
    {"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
    {"eusc-", "amazonaws.eu", "api.amazonwebservices.eu"},
    {"", "amazonaws.com", "api.aws"},
};

static const struct partition *partition_of(const char *region) {
    const struct partition *p = partitions;
    while (strncmp(region, p->prefix, strlen(p->prefix)) != 0)
        p++;
    return p;
}

/* STS has no "api." in front of its name, nor has ECR's FIPS endpoint in the first partition. */
static char *default_url(const struct service *service, const char *region) {
    const struct partition *partition = partition_of(region);
    bool sts = !strcmp(service->name, "sts");
    bool plain = sts || (service->fips && !service->dual && !*partition->prefix &&
                         !strcmp(service->name, "ecr"));
    return sb_format("https://%s%s%s.%s.%s/", plain ? "" : "api.", service->name,
                     service->fips ? "-fips" : "", region,
                     service->dual ? partition->dual_suffix : partition->suffix);
}

/* ---- what is configured ---- */

static const char *configured_url(const char *service, const struct sb_aws_config *config,
                                  const char **out_where) {
    const char *ignore = sb_aws_env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    if (ignore && !strcasecmp(ignore, "true"))
        return NULL;
    *out_where = !strcmp(service, "ecr")          ? "AWS_ENDPOINT_URL_ECR"
                 : !strcmp(service, "ecr-public") ? "AWS_ENDPOINT_URL_ECR_PUBLIC"
                                                  : "AWS_ENDPOINT_URL_STS";
    const char *url = sb_aws_env(*out_where);
    if (!url)
        url = sb_aws_env(*out_where = "AWS_ENDPOINT_URL");
    if (!url && config)
        url = sb_aws_config_get(config, sb_aws_profile(), *out_where = "endpoint_url");
    return url;
}

static bool valid_url(const char *url) {
    size_t scheme = !strncasecmp(url, "https://", 8) ? 8 : !strncasecmp(url, "http://", 7) ? 7 : 0;
    if (!scheme || !url[scheme] || strchr("/:@", url[scheme]))
        return false;
    for (const char *p = url; *p; p++)
        if (!isgraph((unsigned char)*p) || strchr("?#@\\", *p))
            return false;
    return true;
}

char *sb_aws_endpoint(const char *service_name, const char *region,
                      const struct sb_aws_config *config, struct sb_error *err) {
    struct service service = parse_service(service_name);
    sb_autofree char *name = service.name;
    const char *where = NULL, *url = configured_url(name, config, &where);
    if (!sb_aws_region_valid(region)) {
        sb_fail(err, SB_E_NETWORK, "%s is no region of AWS", sb_text_shown(region).text);
        return NULL;
    }
    if (!url)
        return default_url(&service, region);
    if (!valid_url(url)) {
        sb_fail(err, SB_E_NETWORK, "%s: %s is no http: or https: URL", where,
                sb_text_shown(url).text);
        return NULL;
    }
    return sb_format("%s%s", url, url[strlen(url) - 1] == '/' ? "" : "/");
}

const char *sb_aws_region(const struct sb_aws_config *config, const char *fallback) {
    const char *region = sb_aws_env("AWS_REGION");
    if (!region)
        region = sb_aws_env("AWS_DEFAULT_REGION");
    if (!region && config)
        region = sb_aws_config_get(config, sb_aws_profile(), "region");
    return region && *region ? region : fallback;
}
