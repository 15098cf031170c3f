#include <stdlib.h>

#include "base/memory.h"
#include "base/text.h"
#include "cli/node.h"

static int parse_generation(const char *text, uint64_t *out, struct sb_error *err) {
    char *end;
    *out = strtoull(text, &end, 10);
    if (*text >= '1' && *text <= '9' && !*end)
        return 0;
    sb_fail(err, SB_E_USAGE, "rollback: %s is no number of a generation", sb_text_shown(text).text);
    return sb_error_hint(err, "sbuild status NAME lists them");
}

static int rollback(const struct sb_common *common, const char *name, uint64_t generation,
                    uint32_t wait, struct sb_error *err) {
    struct sb_settings settings = {0};
    struct sb_store *store;
    struct sb_installed done;
    if (sb_cli_open(common, NULL, &settings, &store, err) < 0)
        return -1;
    const struct sb_node node = sb_cli_node(store);
    int rc = sb_rollback(&node, name, generation, wait, &done, err);
    if (rc == 0)
        rc = sb_cli_print_installed(&done, common->json, err);
    sb_installed_free(&done);
    sb_store_close(store);
    sb_settings_free(&settings);
    return rc;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    const char *wait_text = NULL;
    const struct sb_option options[] = {{.name = "wait", .text = &wait_text}, {0}};
    sb_autofree const char **names = sb_alloc(((size_t)argc + 1) * sizeof *names);
    size_t count;
    sb_cli_wait_alone(argc, argv);
    int parsed =
        sb_options_parse(&sb_command_rollback, argc, argv, options, &common, names, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    uint64_t generation = 0;
    uint32_t wait;
    if (sb_options_count(&sb_command_rollback, count, 1, 2, err) < 0 ||
        sb_cli_wait("rollback", wait_text, &wait, err) < 0 ||
        (count == 2 && parse_generation(names[1], &generation, err) < 0))
        return -1;
    return rollback(&common, names[0], generation, wait, err);
}

const struct sb_command sb_command_rollback = {
    .name = "rollback",
    .arguments = "NAME [GENERATION] [OPTION…]",
    .summary = "go back to an earlier generation of a service",
    .help = "Without GENERATION: to the newest before the current one that was healthy.\n"
            "Nothing is fetched. Should it not become healthy, the current one runs again,\n"
            "and sbuild exits with 7. Needs root.\n\n"
            "options:\n" SB_CLI_WAIT_HELP "  --json               print facts as JSON\n"
            "  --store DIR          the store to work in\n\n"
            "examples:\n"
            "  sbuild rollback backend\n"
            "  sbuild rollback backend 12\n",
    .run = run,
};
