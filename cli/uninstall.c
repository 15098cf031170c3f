#include "base/memory.h"
#include "cli/node.h"

static int uninstall(const struct sb_common *common, const char *const *names, size_t count,
                     struct sb_error *err) {
    struct sb_settings settings = {0};
    struct sb_store *store;
    if (sb_cli_open(common, NULL, &settings, &store, err) < 0)
        return -1;
    const struct sb_node node = sb_cli_node(store);
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = sb_uninstall(&node, names[i], err);
    sb_store_close(store);
    sb_settings_free(&settings);
    return rc;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    const struct sb_option options[] = {{0}};
    sb_autofree const char **names = sb_alloc(((size_t)argc + 1) * sizeof *names);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_uninstall, argc, argv, options, &common, names, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_uninstall, count, 1, (size_t)argc, err) < 0)
        return -1;
    return uninstall(&common, names, count, err);
}

const struct sb_command sb_command_uninstall = {
    .name = "uninstall",
    .arguments = "NAME… [OPTION…]",
    .summary = "stop a service, and take it away from this node",
    .help = "Its units and generations go; what it wrote (/var/lib/NAME and the like), its\n"
            "secrets and its journal stay. Its layers go with the next sbuild prune. Needs\n"
            "root.\n\n"
            "options:\n"
            "  --store DIR          the store to work in\n\n"
            "examples:\n"
            "  sbuild uninstall backend\n",
    .run = run,
};
