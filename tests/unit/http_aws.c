/* What can be known of AWS without asking anybody: signatures, files, endpoints, the chain's
 * refusals. tests/e2e/ecr.sh has the rest. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "http/aws_config.h"
#include "http/aws_credentials.h"
#include "http/aws_endpoint.h"
#include "http/aws_error.h"
#include "http/aws_search.h"
#include "http/aws_sigv4.h"
#include "http/ecr_cache.h"
#include "http/ecr_token.h"
#include "tests/unit/test.h"

/* ---- signatures ---- */

/* The first is get-vanilla of AWS's test suite, the second the example of the IAM user guide; the
 * others are what botocore 1.38 makes of the same request. */
static const struct {
    const char *method, *url, *headers[2], *body, *service, *region, *token;
    const char *signed_headers, *signature;
} vectors[] = {
    {"GET",
     "https://example.amazonaws.com/",
     {NULL},
     "",
     "service",
     "us-east-1",
     NULL,
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"GET",
     "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
     {"Content-Type: application/x-www-form-urlencoded; charset=utf-8"},
     "",
     "iam",
     "us-east-1",
     NULL,
     "content-type;host;x-amz-date",
     "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
    {"POST",
     "https://api.ecr.us-west-2.amazonaws.com/",
     {"X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
      "Content-Type: application/x-amz-json-1.1"},
     "{}",
     "ecr",
     "us-west-2",
     "TOKEN/+=",
     "content-type;host;x-amz-date;x-amz-security-token;x-amz-target",
     "6f6ada34a7576b3ccfa974705f2ad4dff1f3b692401a5d9c8c572ae7ee8d76b3"},
    {"GET",
     "http://127.0.0.1:4566/a%20b//c/../d/?b=2&a=1&a=0&a-b=%2F",
     {"X-Two:   a   b  "},
     "",
     "sts",
     "eu-central-1",
     NULL,
     "host;x-amz-date;x-two",
     "915aa2b43e0fdcf5475b8b74c210f4d6bd12332bcd4d7f28aa65b457b2b8ead8"},
    {"GET",
     "https://example.amazonaws.com/x/",
     {"User-Agent: not signed"},
     "",
     "service",
     "us-east-1",
     NULL,
     "host;x-amz-date",
     "f2f7b22fa9bfc69529126ab5a745d9d5f8ccba9990e3f1f871fad8bd3de6f8c1"},
};

static void test_signatures(void) {
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct sb_aws_keys keys = {
            .access_key = (char[]){"AKIDEXAMPLE"},
            .secret_key = (char[]){"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"},
            .session_token = (char *)vectors[i].token,
        };
        sb_autostrings struct sb_strings headers = {0}, out = {0};
        for (size_t h = 0; h < 2 && vectors[i].headers[h]; h++)
            sb_strings_add(&headers, vectors[i].headers[h]);
        struct sb_sigv4_request request = {.method = vectors[i].method,
                                           .url = vectors[i].url,
                                           .headers = &headers,
                                           .body = vectors[i].body,
                                           .body_len = strlen(vectors[i].body),
                                           .service = vectors[i].service,
                                           .region = vectors[i].region,
                                           .time = 1440938160}; /* 2015-08-30 12:36:00 */
        sb_sigv4_sign(&request, &keys, &out);
        sb_autofree char *expected = sb_format(
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/%s/%s/aws4_request, "
            "SignedHeaders=%s, Signature=%s",
            vectors[i].region, vectors[i].service, vectors[i].signed_headers, vectors[i].signature);
        CHECK_INT(out.n, vectors[i].token ? 3 : 2);
        CHECK_STR(out.v[0], "X-Amz-Date: 20150830T123600Z");
        CHECK_STR(out.v[out.n - 1], expected);
        if (vectors[i].token)
            CHECK_STR(out.v[1], "X-Amz-Security-Token: TOKEN/+=");
    }
}

/* ---- files ---- */

static const char credentials_text[] = "; comment\n"
                                       "[default]\n"
                                       "aws_access_key_id = AKIA1\n"
                                       "AWS_SECRET_ACCESS_KEY=s/e+c=r#t;x   # comment\r\n"
                                       "\n"
                                       "[team]\n"
                                       "  indented = ignored\n"
                                       "aws_access_key_id\t=\tAKIA2\n"
                                       "region = credentials\n"
                                       "region = again\n";
static const char config_text[] = "\xEF\xBB\xBF[default]\n"
                                  "region = eu-west-1\n"
                                  "s3 =\n"
                                  "  region = nested\n"
                                  "[profile team]\n"
                                  "region = config\n"
                                  "aws_access_key_id = loses\n"
                                  "[profile   \"two words\" ]\n"
                                  "role_arn = arn:aws:iam::1:role/x\n"
                                  "[other]\n"
                                  "region = is no profile\n"
                                  "[sso-session default]\n"
                                  "region = sso\n"
                                  "[profile empty]\n"
                                  "key =\n";

static void test_config(void) {
    struct sb_aws_config config = {0};
    struct sb_error err = {0};
    CHECK_INT(sb_aws_config_parse(&config, credentials_text, "a", true, &err), 0);
    CHECK_INT(sb_aws_config_parse(&config, config_text, "b", false, &err), 0);
    CHECK_STR(sb_aws_config_get(&config, "default", "aws_access_key_id"), "AKIA1");
    CHECK_STR(sb_aws_config_get(&config, "default", "aws_secret_access_key"), "s/e+c=r#t;x");
    CHECK_STR(sb_aws_config_get(&config, "default", "region"), "eu-west-1");
    CHECK_STR(sb_aws_config_get(&config, "team", "aws_access_key_id"), "AKIA2");
    CHECK_STR(sb_aws_config_get(&config, "team", "region"), "again");
    CHECK_STR(sb_aws_config_get(&config, "team", "indented"), NULL);
    CHECK_STR(sb_aws_config_get(&config, "two words", "role_arn"), "arn:aws:iam::1:role/x");
    CHECK_STR(sb_aws_config_get(&config, "empty", "key"), "");
    CHECK(!sb_aws_config_has(&config, "other"));
    CHECK(!sb_aws_config_has(&config, "profile team"));
    sb_aws_config_free(&config);
}

static void test_bad_config(void) {
    static const struct {
        const char *text;
        int line;
    } bad[] = {
        {"HUSH", 1},        {"key = HUSH", 1},    {"[default\nkey = HUSH", 1},
        {"[x]\nHUSH\n", 2}, {"[x]\n= HUSH\n", 2},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sb_aws_config config = {0};
        struct sb_error err = {0};
        CHECK_INT(sb_aws_config_parse(&config, bad[i].text, "FILE", true, &err), -1);
        sb_autofree char *place = sb_format("FILE:%d: ", bad[i].line);
        CHECK(!strncmp(err.message, place, strlen(place)));
        CHECK(!strstr(err.message, "HUSH"));
        sb_aws_config_free(&config);
    }
}

/* ---- endpoints ---- */

static void check_endpoint(const char *service, const char *region, const char *expected) {
    struct sb_error err = {0};
    sb_autofree char *url = sb_aws_endpoint(service, region, NULL, &err);
    CHECK_STR(url, expected);
    CHECK_INT(err.code, expected ? 0 : SB_E_NETWORK);
}

/* As botocore's rules have them (endpoint-rule-set-1 of ecr, ecr-public, sts). */
static void test_endpoints(void) {
    check_endpoint("ecr", "us-west-2", "https://api.ecr.us-west-2.amazonaws.com/");
    check_endpoint("ecr-fips", "us-gov-west-1", "https://ecr-fips.us-gov-west-1.amazonaws.com/");
    check_endpoint("ecr-fips-dual", "us-east-1", "https://api.ecr-fips.us-east-1.api.aws/");
    check_endpoint("ecr-dual", "eu-west-1", "https://api.ecr.eu-west-1.api.aws/");
    check_endpoint("ecr", "cn-north-1", "https://api.ecr.cn-north-1.amazonaws.com.cn/");
    check_endpoint("ecr-dual", "cn-north-1",
                   "https://api.ecr.cn-north-1.api.amazonwebservices.com.cn/");
    check_endpoint("ecr", "eusc-de-east-1", "https://api.ecr.eusc-de-east-1.amazonaws.eu/");
    check_endpoint("ecr-public", "us-east-1", "https://api.ecr-public.us-east-1.amazonaws.com/");
    check_endpoint("sts", "us-east-1", "https://sts.us-east-1.amazonaws.com/");
    check_endpoint("ecr", "us-west-2.evil.org/", NULL);
    check_endpoint("ecr", "US-WEST-2", NULL);
    check_endpoint("ecr", "", NULL);

    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5001", 1);
    check_endpoint("ecr", "us-west-2", "http://127.0.0.1:5001/");
    setenv("AWS_ENDPOINT_URL_ECR", "https://vpce.example.org/ecr/", 1);
    check_endpoint("ecr-fips", "us-west-2", "https://vpce.example.org/ecr/");
    check_endpoint("sts", "us-west-2", "http://127.0.0.1:5001/");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    check_endpoint("ecr", "us-west-2", "https://api.ecr.us-west-2.amazonaws.com/");
    unsetenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    static const char *const bad[] = {"file:///etc/passwd",     "http://",      "http:///x",
                                      "https://user@host/",     "host",         "http://h/?x",
                                      "http://h/ HTTP/1.1\r\n", "http://h\\x/#"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv("AWS_ENDPOINT_URL_ECR", bad[i], 1);
        check_endpoint("ecr", "us-west-2", NULL);
    }
    unsetenv("AWS_ENDPOINT_URL_ECR");
    unsetenv("AWS_ENDPOINT_URL");
}

static void test_times(void) {
    CHECK_INT(sb_aws_time("2015-08-30T12:36:00Z"), 1440938160);
    CHECK_INT(sb_aws_time("2015-08-30T12:36:00.123Z"), 1440938160);
    CHECK_INT(sb_aws_time("2015-08-30T14:36:00+02:00"), 1440938160);
    CHECK_INT(sb_aws_time("2015-08-30T07:06:00-05:30"), 1440938160);
    CHECK_INT(sb_aws_time("2015-08-30 12:36:00Z"), 0);
    CHECK_INT(sb_aws_time("2015-08-30T12:36:00"), 0);
    CHECK_INT(sb_aws_time("soon"), 0);
}

/* ---- refusals ---- */

static void check_error(const char *body, const char *code, const char *message) {
    struct sb_buf text = {.data = (char *)body, .len = strlen(body)};
    struct sb_aws_error error = sb_aws_error_read(&text);
    CHECK_STR(error.code, code);
    CHECK_STR(error.message.text, message);
}

static void test_errors(void) {
    check_error("{\"__type\":\"com.amazonaws.ecr#ServerException\",\"message\":\"no\"}",
                "ServerException", "\"no\"");
    check_error("{\"__type\":\"SignatureDoesNotMatch\",\"Message\":\"wrong\\nx-amz-security-token:"
                "HUSH\"}",
                "SignatureDoesNotMatch", "\"wrong\"");
    check_error("<ErrorResponse><Error><Code>AccessDenied</Code><Message>no\nHUSH</Message>",
                "AccessDenied", "\"no\"");
    check_error("<Code>X</Code><Message><![CDATA[a < b]]></Message>", "X", "\"a < b\"");
    check_error("<Code>X: 1</Code><Message>unclosed", "X", "");
    check_error("[\"message\"]", "", "");
    check_error("", "", "");
    struct sb_aws_error none = sb_aws_error_read(&(struct sb_buf){0});
    CHECK_STR(none.code, "");
}

/* ---- the chain ---- */

static const struct sb_http_settings settings;

/* One look through the chain; the message of its failure, or the access key. */
static const char *look(void) {
    static struct sb_error err;
    static char found[64];
    struct sb_aws_search search = {.settings = &settings, .region = "us-west-2"};
    struct sb_aws_keys keys = {0};
    sb_error_clear(&err);
    int result = sb_aws_config_load(&search.config, &err);
    if (result == 0)
        result = sb_aws_find_environment(&search, &keys, &err);
    if (result == 0)
        result = sb_aws_find_profile(&search, &keys, &err);
    if (result == 0)
        result = sb_aws_find_container(&search, &keys, &err);
    snprintf(found, sizeof found, "%s", keys.access_key ? keys.access_key : "nothing");
    sb_aws_keys_free(&keys);
    sb_aws_config_free(&search.config);
    sb_buf_free(&search.tried);
    return result < 0 ? err.message : found;
}

static void check_refused(const char *part) {
    const char *message = look();
    if (!CHECK(strstr(message, part)))
        printf("    %s\n", message);
    CHECK(!strstr(message, "HUSH"));
}

static void test_environment(void) {
    CHECK_STR(look(), "nothing");
    setenv("AWS_ACCESS_KEY_ID", "AKIAENV", 1);
    check_refused("AWS_SECRET_ACCESS_KEY is not");
    setenv("AWS_SECRET_ACCESS_KEY", "HUSH\r\nX-Evil: 1", 1);
    check_refused("secret access key is missing or malformed");
    setenv("AWS_SECRET_ACCESS_KEY", "HUSH", 1);
    CHECK_STR(look(), "AKIAENV");
    setenv("AWS_SESSION_TOKEN", "HUSH HUSH", 1);
    check_refused("session token is malformed");
    unsetenv("AWS_SESSION_TOKEN");
    unsetenv("AWS_ACCESS_KEY_ID");
    check_refused("AWS_ACCESS_KEY_ID is not");
    unsetenv("AWS_SECRET_ACCESS_KEY");
}

static void write_file(const char *path, const char *text, mode_t mode) {
    struct sb_error err = {0};
    CHECK_INT(sb_file_write(AT_FDCWD, path, text, strlen(text), mode, &err), 0);
}

static void test_profiles(void) {
    write_file(
        ".aws/config",
        "[default]\n"
        "aws_access_key_id = AKIADEFAULT\n"
        "aws_secret_access_key = HUSH\n"
        "[profile half]\n"
        "aws_access_key_id = AKIAHALF\n"
        "[profile program]\n"
        "credential_process = printf '{\"Version\":1,\"AccessKeyId\":\"AKIA%s\","
        "\"SecretAccessKey\":\"HUSH\"}' PROG\n"
        "[profile old]\n"
        "credential_process = echo '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":"
        "\"HUSH\",\"Expiration\":\"2015-08-30T12:36:00Z\"}'\n"
        "[profile broken]\n"
        "credential_process = echo HUSH\n"
        "[profile failing]\n"
        "credential_process = echo HUSH; echo not signed in >&2; exit 3\n"
        "[profile sso]\n"
        "sso_start_url = https://x\n"
        "[profile mfa]\n"
        "role_arn = arn:x\n"
        "mfa_serial = arn:y\n"
        "source_profile = default\n"
        "[profile loop]\n"
        "role_arn = arn:x\n"
        "source_profile = loop2\n"
        "[profile loop2]\n"
        "role_arn = arn:x\n"
        "source_profile = loop\n"
        "[profile alone]\n"
        "role_arn = arn:x\n"
        "[profile nowhere]\n"
        "role_arn = arn:x\n"
        "source_profile = missing\n",
        0600);
    static const struct {
        const char *profile, *expected;
    } cases[] = {
        {"", "AKIADEFAULT"},
        {"program", "AKIAPROG"},
        {"half", "secret access key is missing"},
        {"old", "the credentials expired at \"2015-08-30T12:36:00Z\""},
        {"broken", "is no JSON object"},
        {"failing", "failed with exit status 3: \"not signed in"},
        {"sso", "signs in with SSO"},
        {"mfa", "second factor"},
        {"loop", "leads on and on"},
        {"alone", "needs source_profile"},
        {"nowhere", "\"missing\" is neither in"},
        {"unknown", "\"unknown\" is neither in"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("AWS_PROFILE", cases[i].profile, 1);
        check_refused(cases[i].expected);
    }
    unsetenv("AWS_PROFILE");
    write_file(".aws/config", "", 0600);
}

static void test_containers(void) {
    static const char *const bad[] = {
        "http://example.org/x",
        "http://169.254.169.254/x",
        "ftp://127.0.0.1/",
        "http://127.0.0.1.example.org",
        "http://127.0.0.1@evil.org/",
        "http://localhost.evil.org/",
        "http://[::2]/",
        "http://1270.0.0.1/",
        "/relative",
        "file:///etc/passwd",
        "https://",
        "http://127.0.0/",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", bad[i], 1);
        check_refused("is not allowed");
    }
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x", 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "HUSH\nHUSH", 1);
    check_refused("line break");
    unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
}

static void test_nothing(void) {
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    struct sb_aws_keys keys;
    struct sb_error err = {0};
    sb_autobuf struct sb_buf user = {0}, password = {0};
    CHECK_INT(sb_ecr_password(&settings, "docker.io", &user, &password, &err), 0);
    CHECK_INT(sb_ecr_password(&settings, "public.ecr.aws", &user, &password, &err), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(sb_aws_keys_get(&settings, "us-west-2", &keys, &err), -1);
        CHECK_INT(err.code, SB_E_NOT_FOUND);
        CHECK(strstr(err.message, "AWS_ACCESS_KEY_ID is not set; web identity: "));
        CHECK(strstr(err.message, "profile \"default\""));
        CHECK(strstr(err.message, "instance metadata: off"));
        CHECK(strstr(err.hint, "AWS_PROFILE"));
    }
    CHECK_INT(sb_ecr_password(&settings, "123456789012.dkr.ecr.us-west-2.amazonaws.com", &user,
                              &password, &err),
              -1);
    CHECK_INT(err.code, SB_E_NETWORK);
    CHECK(strstr(err.message, "123456789012.dkr.ecr"));
}

/* ---- passwords between processes ---- */

static void test_cache(void) {
    int64_t now = time(NULL), expires = 0;
    struct sb_digest a = sb_digest_of("a", 1), b = sb_digest_of("b", 1), c = sb_digest_of("c", 1);
    sb_autobuf struct sb_buf token = {0};
    struct stat st;
    CHECK(!sb_ecr_cache_get(&a, now, &token, &expires));
    sb_ecr_cache_put(&a, "QVdTOmE=", now + 1000);
    sb_ecr_cache_put(&b, "QVdTOmI=", now + 2000);
    sb_ecr_cache_put(&c, "QVdTOmM=", now - 1); /* not kept */
    CHECK(!sb_ecr_cache_get(&c, 0, &token, &expires));
    CHECK(sb_ecr_cache_get(&a, now, &token, &expires));
    CHECK_STR(sb_buf_text(&token), "QVdTOmE=");
    CHECK_INT(expires, now + 1000);
    CHECK(!sb_ecr_cache_get(&a, now + 1000, &token, &expires));
    CHECK_INT(stat("cache/sbuild/ecr-tokens.json", &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    sb_ecr_cache_remove(&a);
    CHECK(!sb_ecr_cache_get(&a, now, &token, &expires));
    CHECK(sb_ecr_cache_get(&b, now, &token, &expires));
    CHECK_INT(chmod("cache/sbuild/ecr-tokens.json", 0640), 0); /* others may read it */
    CHECK(!sb_ecr_cache_get(&b, now, &token, &expires));
    write_file("cache/sbuild/ecr-tokens.json", "{\"version\":1,\"tokens\":[", 0600);
    CHECK(!sb_ecr_cache_get(&b, now, &token, &expires));
    sb_ecr_cache_put(&b, "QVdTOmI=", now + 2000);
    CHECK(sb_ecr_cache_get(&b, now, &token, &expires));

    /* A directory that others may write: no file is read there, made there, or elsewhere by a link.
     */
    CHECK_INT(chmod("cache/sbuild", 0777), 0);
    CHECK(!sb_ecr_cache_get(&b, now, &token, &expires));
    CHECK_INT(unlink("cache/sbuild/ecr-tokens.lock"), 0);
    CHECK_INT(unlink("cache/sbuild/ecr-tokens.json"), 0);
    CHECK_INT(symlink("../../made", "cache/sbuild/ecr-tokens.lock"), 0);
    sb_ecr_cache_put(&b, "QVdTOmI=", now + 2000);
    CHECK(access("made", F_OK) < 0);
    CHECK_INT(chmod("cache/sbuild", 0700), 0);
    sb_ecr_cache_put(&b, "QVdTOmI=", now + 2000);
    CHECK(access("made", F_OK) < 0);
    CHECK_INT(unlink("cache/sbuild/ecr-tokens.lock"), 0);
    if (geteuid() == 0) {
        CHECK_INT(chown("cache/sbuild", 12345, 12345), 0);
        sb_ecr_cache_put(&b, "QVdTOmI=", now + 2000);
        CHECK(access("cache/sbuild/ecr-tokens.json", F_OK) < 0);
        CHECK_INT(chown("cache/sbuild", 0, 0), 0);
    }
}

int main(void) {
    char dir[] = "/tmp/sbuild-aws-XXXXXX";
    struct sb_error err = {0};
    clearenv();
    setenv("PATH", "/usr/bin:/bin", 1);
    if (!CHECK(mkdtemp(dir)) || !CHECK_INT(chdir(dir), 0) || !CHECK_INT(mkdir(".aws", 0700), 0))
        return test_done();
    setenv("HOME", dir, 1);
    sb_autofree char *cache = sb_format("%s/cache", dir);
    setenv("XDG_CACHE_HOME", cache, 1);
    test_signatures();
    test_config();
    test_bad_config();
    test_endpoints();
    test_times();
    test_errors();
    test_environment();
    test_profiles();
    test_containers();
    test_cache();
    test_nothing();
    CHECK_INT(chdir("/"), 0);
    CHECK_INT(sb_tree_remove(AT_FDCWD, dir, &err), 0);
    return test_done();
}
