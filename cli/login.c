#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/login.h"
#include "registry/http_program.h"

/* The host of "https://Registry.example.com:5000/" and the like, in lower case. */
static char *parse_host(const char *command, const char *text, struct sb_error *err) {
    static const char *const hub[] = {"index.docker.io", "registry-1.docker.io",
                                      "registry.hub.docker.com"};
    const char *start = strstr(text, "://");
    start = start ? start + 3 : text;
    size_t len = strcspn(start, "/");
    const char *rest = start + len;
    bool alone = !*rest || !strcmp(rest, "/") || !strcmp(rest, "/v1/") || !strcmp(rest, "/v2/");
    if (len == 0 || len > 255 || !alone ||
        strspn(start, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]") !=
            len) {
        sb_fail(err, SB_E_USAGE, "%s: %s is not a registry's host", command,
                sb_text_shown(text).text);
        sb_error_hint(err, "as in docker.io, or registry.example.com:5000");
        return NULL;
    }
    char *host = sb_strndup(start, len);
    for (char *c = host; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c += 'a' - 'A';
    for (size_t i = 0; i < sizeof hub / sizeof *hub; i++)
        if (!strcmp(host, hub[i]))
            strcpy(host, "docker.io"); /* shorter than any of them */
    return host;
}

int sb_cli_exec_http(const char *mode, const char *text, const struct sb_cli_registry *options,
                     const struct sb_strings *more, struct sb_error *err) {
    sb_autofree char *host = parse_host(mode, text, err);
    struct sb_settings settings = {0};
    if (!host || sb_settings_load(NULL, &settings, err) < 0 ||
        sb_cli_registry_apply(options, &settings, err) < 0)
        return -1;
    struct sb_registry_options registry = {0};
    sb_settings_registry(&settings, &registry);
    sb_autostrings struct sb_strings argv = {0};
    sb_http_program_command(&registry.http, mode, host, &argv);
    sb_strings_copy(&argv, more);
    execv(argv.v[0], argv.v);
    sb_fail_errno(err, SB_E_NOT_FOUND, "starting %s", argv.v[0]);
    sb_settings_free(&settings);
    return sb_error_hint(err, "sbuild-http belongs to sbuild, and lies beside it or in "
                              "../libexec/sbuild; install both");
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    const char *user = NULL;
    bool password_stdin = false;
    struct sb_cli_registry registry = {0};
    const struct sb_option options[] = {
        {.name = "user", .letter = 'u', .text = &user},
        {.name = "password-stdin", .flag = &password_stdin},
        SB_CLI_REGISTRY_OPTIONS(registry),
        {0},
    };
    sb_autofree const char **hosts = sb_alloc((size_t)argc * sizeof *hosts);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_login, argc, argv, options, &common, hosts, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_login, count, 1, 1, err) < 0)
        return -1;
    sb_autostrings struct sb_strings more = {0};
    if (user) {
        sb_strings_add(&more, "--user");
        sb_strings_add(&more, user);
    }
    if (password_stdin)
        sb_strings_add(&more, "--password-stdin");
    return sb_cli_exec_http("login", hosts[0], &registry, &more, err);
}

const struct sb_command sb_command_login = {
    .name = "login",
    .arguments = "HOST [OPTION…]",
    .summary = "keep user name and password for a registry",
    .help =
        "Asks the registry whether they are right, and keeps them where docker and podman\n"
        "find them too: in $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json or\n"
        "~/.docker/config.json, or with the credential helper that this file names.\n"
        "A token is kept instead of the password where the registry gives one.\n\n"
        "options:\n"
        "  -u, --user NAME      the user; otherwise asked for on the terminal\n"
        "  --password-stdin     read the password from standard input\n" SB_CLI_REGISTRY_HELP "\n"
        "examples:\n"
        "  sbuild login registry.example.com:5000\n"
        "  sbuild login docker.io -u team --password-stdin <token.txt\n",
    .run = run,
};
