/*
 * Any answers to what sbuild-http asks for itself: tokens of a registry, passwords of ECR, keys of
 * STS, of a container's agent and of an instance's metadata. The first byte chooses which.
 */
#include <time.h>

#include "http/aws_credentials.h"
#include "http/aws_search.h"
#include "http/ecr_token.h"
#include "http/token.h"
#include "tests/fuzz/exchanges.h"

static const struct sb_http_settings settings = {.stall_seconds = 30};

static void token(bool refresh) {
    struct sb_scopes scopes = {0};
    sb_scopes_add(&scopes, "repository:team/app:pull,push");
    const struct sb_auth_request request = {"r.example.com", "https://r.example.com", "x"};
    static struct sb_credential plain = {.user = (char *)"u", .password = (char *)"p"},
                                identity = {.identity_token = (char *)"t",
                                            .user = (char *)"u",
                                            .password = (char *)"p"};
    const struct sb_token_request wanted = {.request = &request,
                                            .realm = "https://auth.example.com/token",
                                            .service = "s",
                                            .scopes = &scopes,
                                            .credential = refresh ? &identity : &plain,
                                            .keep = refresh};
    struct sb_token got;
    struct sb_error err = {0};
    if (sb_token_fetch(&settings, &wanted, &got, &err) < 0)
        fuzz_check_error(&err);
    else
        FUZZ_CHECK(got.text && *got.text && got.seconds > 0 && !strpbrk(got.text, "\r\n "));
    sb_token_free(&got);
    sb_scopes_free(&scopes);
}

static void check_keys(int found, struct sb_aws_keys *keys, const struct sb_error *err) {
    if (found > 0)
        FUZZ_CHECK(keys->access_key && keys->secret_key && !strpbrk(keys->access_key, "\r\n "));
    else if (found < 0)
        fuzz_check_error(err);
    sb_aws_keys_free(keys);
}

static void aws(unsigned kind) {
    struct sb_aws_search search = {.settings = &settings, .region = "us-west-2"};
    struct sb_aws_keys keys = {0}, source = {.access_key = (char *)"A", .secret_key = (char *)"S"};
    const struct sb_aws_role role = {.arn = "arn:aws:iam::1:role/x", .source = &source};
    struct sb_error err = {0};
    int found = kind == 0   ? sb_aws_find_container(&search, &keys, &err)
                : kind == 1 ? sb_aws_find_instance(&search, &keys, &err)
                            : sb_aws_assume_role(&search, &role, &keys, &err) + 1;
    if (kind == 2 && found == 0)
        found = -1;
    check_keys(found, &keys, &err);
    sb_buf_free(&search.tried);
}

static void ecr(const char *host) {
    sb_autosecret struct sb_buf user = {0}, password = {0};
    struct sb_error err = {0};
    int got = sb_ecr_password(&settings, host, &user, &password, &err);
    if (got < 0)
        fuzz_check_error(&err);
    if (got > 0) {
        FUZZ_CHECK(user.len > 0 && password.len > 0);
        sb_ecr_forget(host, password.data);
    }
    sb_aws_keys_forget();
}

static void start(void) {
    unsetenv("HOME");
    unsetenv("XDG_CACHE_HOME");
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x", 1);
    setenv("AWS_ACCESS_KEY_ID", "AKIA", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool started;
    static unsigned number;
    if (!started)
        start();
    started = true;
    exchange_answers = fuzz_parts(data, size);
    exchange_count = 0;
    unsigned what = fuzz_choose(&exchange_answers, 6);
    if (what < 2) {
        token(what);
    } else if (what < 5) {
        aws(what - 2);
    } else { /* each time another registry: passwords are kept */
        sb_autofree char *host =
            sb_format("%012u.dkr.ecr.us-west-2.amazonaws.com", ++number % 1000000000);
        ecr(host);
    }
    return 0;
}
