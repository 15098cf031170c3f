/* Host names of ECR, and the ways of registries. */
#include "base/ecr.h"

#include <stdlib.h>

#include "registry/ways.h"
#include "tests/unit/test.h"

#define A "123456789012"

static const struct {
    const char *host, *account, *region;
    bool fips, dual_stack, is_public;
} good[] = {
    {A ".dkr.ecr.us-west-2.amazonaws.com", A, "us-west-2", false, false, false},
    {A ".dkr.ecr-fips.us-gov-west-1.amazonaws.com", A, "us-gov-west-1", true, false, false},
    {A ".dkr.ecr.cn-north-1.amazonaws.com.cn", A, "cn-north-1", false, false, false},
    {A ".dkr.ecr.eusc-de-east-1.amazonaws.eu", A, "eusc-de-east-1", false, false, false},
    {A ".dkr-ecr.eu-central-1.on.aws", A, "eu-central-1", false, true, false},
    {A ".dkr-ecr-fips.us-east-1.on.aws", A, "us-east-1", true, true, false},
    {"public.ecr.aws", "", "us-east-1", false, false, true},
};

/* Credentials would go to whoever owns such a name, or AWS's password to another registry. */
static const char *const bad[] = {
    "",
    "docker.io",
    A,
    A ".dkr.ecr.us-west-2.amazonaws.com.example.org",
    A ".dkr.ecr.us-west-2.amazonaws.com.",
    A ".dkr.ecr.us-west-2.amazonaws.com:443",
    A ".dkr.ecr.us-west-2.amazonaws.com.cn.cn",
    A ".dkr.ecr.us-west-2.amazonaws.org",
    A ".dkr.ecr.us-west-2.on.aws",
    A ".dkr-ecr.us-west-2.amazonaws.com",
    A ".dkr.ecr..amazonaws.com",
    A ".dkr.ecr.amazonaws.com",
    A ".dkr.ecr.us/west-2.amazonaws.com",
    A ".dkr.ecr.us-west-2-.amazonaws.com",
    A ".dkr.ecr.US-WEST-2.amazonaws.com",
    A ".dkr.ecr.us-west-2@evil.amazonaws.com",
    A ".dkr.ecr.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1.amazonaws.com",
    A ".dkr.s3.us-west-2.amazonaws.com",
    A "3.dkr.ecr.us-west-2.amazonaws.com",
    "12345678901.dkr.ecr.us-west-2.amazonaws.com",
    "12345678901x.dkr.ecr.us-west-2.amazonaws.com",
    "x" A ".dkr.ecr.us-west-2.amazonaws.com",
    "evil.public.ecr.aws",
    "public.ecr.aws.example.org",
    "public.ecr.aws:443",
};

static void test_hosts(void) {
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct sb_ecr_host host;
        if (!CHECK(sb_ecr_host_parse(good[i].host, &host)))
            printf("    %s\n", good[i].host);
        CHECK_STR(host.account, good[i].account);
        CHECK_STR(host.region, good[i].region);
        CHECK_INT(host.fips, good[i].fips);
        CHECK_INT(host.dual_stack, good[i].dual_stack);
        CHECK_INT(host.is_public, good[i].is_public);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sb_ecr_host host;
        if (!CHECK(!sb_ecr_host_parse(bad[i], &host)))
            printf("    %s\n", bad[i]);
    }
}

static void test_ways(void) {
    struct sb_registry_ways ways = sb_registry_ways(good[0].host);
    CHECK(ways.ecr && ways.patch_created && ways.range_stale);
    CHECK_INT(ways.min_chunk, 5 << 20);
    CHECK_INT(ways.max_blob, 52000ll << 20);
    CHECK_INT(ways.max_tags, 1000);
    ways = sb_registry_ways("registry.example.com");
    CHECK(!ways.ecr && !ways.patch_created && !ways.range_stale && !ways.min_chunk);
}

static const struct {
    int status;
    const char *body;
    bool immutable;
} answers[] = {
    /* ECR, twice: how it is worded now, and was */
    {400,
     "{\"errors\":[{\"code\":\"TAG_INVALID\",\"message\":\"The image tag 'v1' already exists in "
     "the "
     "'app' repository and cannot be overwritten because the tag is immutable.\"}]}",
     true},
    {400,
     "{\"errors\":[{\"code\":\"TAG_INVALID\",\"message\":\"The image tag 'v1' already exists in "
     "the "
     "'app' repository and cannot be overwritten because the repository is immutable.\"}]}",
     true},
    {403, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"tag is immutable\"}]}", true},
    {409, "{\"errors\":[{\"code\":\"TAG_IMMUTABLE\",\"message\":\"\"}]}", true},
    {400, "{\"errors\":[{\"code\":\"ImageTagAlreadyExistsException\"}]}", true},
    {412,
     "{\"errors\":[{\"code\":\"PRECONDITION\",\"message\":\"Failed: matched Immutable rule\"}]}",
     true},
    {400, "{\"errors\":[{\"code\":\"TAG_INVALID\",\"message\":\"manifest tag did not match\"}]}",
     false},
    {403, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"requested access is denied\"}]}", false},
    {500, "{\"errors\":[{\"code\":\"TAG_IMMUTABLE\"}]}", false},
    {201, "{\"errors\":[{\"code\":\"TAG_IMMUTABLE\"}]}", false},
    {400, "{\"errors\":\"TAG_IMMUTABLE\"}", false},
    {400, "{\"errors\":[7, {\"code\":7}]}", false},
    {400, "TAG_IMMUTABLE", false},
    {400, "", false},
};

static void test_immutable(void) {
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        if (!CHECK_INT(sb_registry_tag_immutable(answers[i].status, answers[i].body,
                                                 strlen(answers[i].body)),
                       answers[i].immutable))
            printf("    %s\n", answers[i].body);
    CHECK(!sb_registry_tag_immutable(400, NULL, 0));
}

int main(void) {
    test_hosts();
    test_ways();
    test_immutable();
    return test_done();
}
