#include "base/memory.h"
#include "cli/command.h"
#include "cli/login.h"

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    const struct sb_option options[] = {{0}};
    sb_autofree const char **hosts = sb_alloc((size_t)argc * sizeof *hosts);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_logout, argc, argv, options, &common, hosts, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_logout, count, 1, 1, err) < 0)
        return -1;
    struct sb_cli_registry registry = {0};
    struct sb_strings none = {0};
    return sb_cli_exec_http("logout", hosts[0], &registry, &none, err);
}

const struct sb_command sb_command_logout = {
    .name = "logout",
    .arguments = "HOST",
    .summary = "forget user name and password for a registry",
    .help = "Removes them from wherever sbuild would find them: the files that `sbuild login`\n"
            "names, $XDG_RUNTIME_DIR/containers/auth.json, and the credential helpers that\n"
            "these files name. Those for a path of the host stay.\n\n"
            "examples:\n"
            "  sbuild logout registry.example.com:5000\n",
    .run = run,
};
