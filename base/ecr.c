#include "base/ecr.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

bool sb_aws_region_valid(const char *region) {
    size_t len = strlen(region);
    if (len < 4 || len >= sizeof((struct sb_ecr_host *)0)->region || !islower(*region))
        return false;
    for (const char *p = region; *p; p++)
        if (!islower(*p) && !isdigit(*p) && *p != '-')
            return false;
    return region[len - 1] != '-';
}

/* What comes after the region, and the name of the service before it. The partitions are listed:
 * credentials must not go to amazonaws.com.example.org. */
static bool known_suffix(const char *suffix, bool dual_stack) {
    static const char *const single[] = {"amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", NULL};
    static const char *const dual[] = {"on.aws", "on.amazonwebservices.com.cn",
                                       "on.amazonwebservices.eu", NULL};
    for (const char *const *known = dual_stack ? dual : single; *known; known++)
        if (!strcmp(suffix, *known))
            return true;
    return false;
}

static const struct {
    const char *text;
    bool fips, dual_stack;
} services[] = {
    {".dkr.ecr.", false, false},
    {".dkr.ecr-fips.", true, false},
    {".dkr-ecr.", false, true},
    {".dkr-ecr-fips.", true, true},
};

bool sb_ecr_host_parse(const char *host, struct sb_ecr_host *out) {
    memset(out, 0, sizeof *out);
    if (!strcmp(host, "public.ecr.aws")) {
        snprintf(out->region, sizeof out->region, "us-east-1");
        out->is_public = true;
        return true;
    }
    if (strspn(host, "0123456789") != 12)
        return false;
    for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
        size_t len = strlen(services[i].text);
        if (strncmp(host + 12, services[i].text, len) != 0)
            continue;
        const char *region = host + 12 + len;
        size_t n = strcspn(region, ".");
        if (n >= sizeof out->region || region[n] != '.' ||
            !known_suffix(region + n + 1, services[i].dual_stack))
            return false;
        snprintf(out->account, sizeof out->account, "%.12s", host);
        snprintf(out->region, sizeof out->region, "%.*s", (int)n, region);
        out->fips = services[i].fips;
        out->dual_stack = services[i].dual_stack;
        return sb_aws_region_valid(out->region);
    }
    return false;
}

const char *sb_ecr_service(const struct sb_ecr_host *host) {
    return host->is_public ? "ecr-public" : "ecr";
}
