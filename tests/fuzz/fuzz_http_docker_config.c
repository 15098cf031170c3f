/* Any bytes as docker's config.json: looked up, changed and read again. */

#include "http/docker_config.h"
#include "tests/fuzz/fuzz.h"

static void look_up(const struct sb_docker_config *config, const char *host) {
    static const char *const repositories[] = {"", "team", "team/app"};
    for (size_t i = 0; i < 3; i++) {
        sb_autocredential struct sb_credential found = {0};
        struct sb_error err = {0};
        int there = sb_docker_config_find(config, host, repositories[i], &found, &err);
        if ((there > 0) != sb_credential_given(&found) || (there < 0 && !err.message[0]))
            abort();
    }
    sb_docker_config_helper(config, host);
    sb_docker_config_has_paths(config, host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sb_autodockerconfig struct sb_docker_config config = {0};
    sb_autofree char *text = sb_strndup((const char *)data, size);
    struct sb_error err = {0};
    if (sb_docker_config_parse(text, size, "fuzz", &config, &err) < 0)
        return 0;
    look_up(&config, "docker.io");
    look_up(&config, "a.example.com");
    struct sb_credential kept = {.user = "user", .password = "pass:word"};
    sb_docker_config_set(&config, "a.example.com", &kept);
    sb_autocredential struct sb_credential found = {0};
    if (sb_docker_config_find(&config, "a.example.com", "", &found, &err) != 1 ||
        !sb_credential_equal(&kept, &found))
        abort();
    sb_docker_config_remove(&config, "a.example.com");
    sb_credential_free(&found);
    if (sb_docker_config_find(&config, "a.example.com", "", &found, &err) != 0)
        abort();
    return 0;
}
