/*
 * Any bytes as the two files in ~/.aws, and as what the programs and services that they name
 * answer: keys or why there are none.
 */
#include "base/process.h"
#include "http/aws_search.h"
#include "tests/fuzz/exchanges.h"

/* Takes the place of credential_process: nothing is run. */
int sb_process_capture(const char *const *argv, const char *cwd, size_t max, struct sb_buf *out,
                       struct sb_buf *diagnostics, struct sb_error *err) {
    size_t len;
    sb_autofree char *text = fuzz_next(&exchange_answers, &len);
    (void)cwd;
    (void)err;
    FUZZ_CHECK(!strcmp(argv[0], "sh") && argv[2] && !argv[3]);
    sb_buf_add(out, text, len < max ? len : max);
    if (diagnostics)
        sb_buf_adds(diagnostics, text);
    return text[0] == '!' ? 1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct sb_http_settings settings = {.stall_seconds = 30};
    exchange_answers = fuzz_parts(data, size);
    exchange_count = 0;
    sb_autofree char *credentials = fuzz_next(&exchange_answers, NULL);
    sb_autofree char *config = fuzz_next(&exchange_answers, NULL);
    struct sb_aws_search search = {.settings = &settings, .region = "us-west-2"};
    search.config.config_path = sb_strdup("config");
    search.config.credentials_path = sb_strdup("credentials");
    struct sb_aws_keys keys = {0};
    struct sb_error err = {0};
    setenv("AWS_EC2_METADATA_DISABLED", "true", 0);
    int found = 0;
    if (sb_aws_config_parse(&search.config, credentials, "credentials", true, &err) < 0 ||
        sb_aws_config_parse(&search.config, config, "config", false, &err) < 0)
        found = -1;
    else
        found = sb_aws_find_profile(&search, &keys, &err);
    if (found < 0)
        fuzz_check_error(&err);
    FUZZ_CHECK(found <= 0 || (keys.access_key && keys.secret_key));
    sb_aws_keys_free(&keys);
    sb_aws_config_free(&search.config);
    sb_buf_free(&search.tried);
    return 0;
}
