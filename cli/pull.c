#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/transfer.h"
#include "layers/trees.h"
#include "registry/pull.h"

struct pull_command {
    struct sb_cli_transfer transfer;
    struct sb_cli_registry registry_options;
    const char *platform_text;
    bool unpack, all_platforms;
    struct sb_platform platform;
    json_t *facts;
};

static int unpack_layer(void *data, const struct sb_layer *layer, bool arriving,
                        struct sb_error *err) {
    struct pull_command *c = data;
    struct sb_transfer_event event = {.state = SB_TRANSFER_UNPACK, .blob = &layer->descriptor};
    char *path = NULL;
    sb_progress_transfer(c->transfer.progress, &event);
    int rc = arriving ? sb_tree_follow(c->transfer.store, layer, &path, err)
                      : sb_tree_get(c->transfer.store, layer, &path, err);
    free(path);
    event.state = SB_TRANSFER_UNPACKED;
    sb_progress_transfer(c->transfer.progress, &event);
    return rc;
}

static void notify(void *data, const struct sb_transfer_event *event) {
    struct pull_command *c = data;
    sb_progress_transfer(c->transfer.progress, event);
}

static int pull_one(struct pull_command *c, const char *name, struct sb_error *err) {
    struct sb_reference reference;
    struct sb_pulled pulled;
    const struct sb_pull_options options = {.platform = c->platform_text ? &c->platform : NULL,
                                            .all_platforms = c->all_platforms,
                                            .notify = notify,
                                            .layer = c->unpack ? unpack_layer : NULL,
                                            .data = c};
    if (sb_reference_parse(name, &reference, err) < 0)
        return sb_error_context(err, "pull");
    int rc =
        sb_pull_image(c->transfer.registry, c->transfer.store, &reference, &options, &pulled, err);
    sb_autofree char *text = sb_reference_text(&reference);
    sb_reference_free(&reference);
    if (rc < 0)
        return -1;
    if (c->facts)
        json_array_append_new(
            c->facts, json_pack("{s:s, s:s, s:s, s:I}", "reference", text, "digest",
                                sb_digest_text(&pulled.image.digest).text, "media_type",
                                pulled.image.media_type, "size", (json_int_t)pulled.image.size));
    else
        sb_cli_print("%s\n", sb_digest_text(&pulled.image.digest).text);
    return 0;
}

static int open_all(struct pull_command *c, struct sb_error *err) {
    if (c->platform_text && c->all_platforms)
        return sb_fail(err, SB_E_USAGE,
                       "pull: --platform and --all-platforms are each other's contrary");
    if (c->platform_text && sb_platform_parse(c->platform_text, &c->platform, err) < 0)
        return sb_error_context(err, "--platform");
    return sb_cli_transfer_open(&c->transfer, &c->registry_options, c->unpack, err);
}

static int pull_all(struct pull_command *c, const char *const *names, size_t count,
                    struct sb_error *err) {
    int rc = open_all(c, err);
    c->facts = c->transfer.common.json ? json_array() : NULL;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = pull_one(c, names[i], err);
    if (rc < 0 && c->transfer.progress)
        sb_progress_error(c->transfer.progress, err);
    sb_progress_free(sb_steal(c->transfer.progress));
    if (rc == 0 && c->facts)
        rc = sb_cli_print_json(c->facts, err);
    json_decref(c->facts);
    sb_cli_transfer_close(&c->transfer);
    sb_platform_free(&c->platform);
    return rc == 0 ? sb_cli_flush(err) : -1;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct pull_command c = {.transfer.progress_how = "auto"};
    const struct sb_option options[] = {
        {.name = "platform", .text = &c.platform_text},
        {.name = "all-platforms", .flag = &c.all_platforms},
        {.name = "unpack", .flag = &c.unpack},
        {.name = "progress", .text = &c.transfer.progress_how},
        SB_CLI_REGISTRY_OPTIONS(c.registry_options),
        {0},
    };
    sb_autofree const char **names = sb_alloc(((size_t)argc + 1) * sizeof *names);
    size_t count;
    int parsed = sb_options_parse(&sb_command_pull, argc, argv, options, &c.transfer.common, names,
                                  &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_pull, count, 1, (size_t)argc, err) < 0)
        return -1;
    return pull_all(&c, names, count, err);
}

const struct sb_command sb_command_pull = {
    .name = "pull",
    .arguments = "REF… [OPTION…]",
    .summary = "bring images from a registry into the store",
    .help = "Prints the digest of each image on standard output. In the store it has the\n"
            "whole name, HOST/REPOSITORY:TAG. Layers that are there are not fetched.\n\n"
            "options:\n"
            "  --platform P         of an index, the image for OS/ARCHITECTURE[/VARIANT],\n"
            "                       instead of this machine's\n"
            "  --all-platforms      of an index, the images for all of Linux's platforms; the\n"
            "                       index is then what has the name in the store\n"
            "  --unpack             unpack the layers as well, while others are fetched\n"
            "  --json               print facts instead of the digest\n"
            "  --progress HOW       auto, tty, plain or json\n" SB_CLI_REGISTRY_HELP
            "  --store DIR          the store to work in\n\n"
            "REF is what docker takes: alpine means docker.io/library/alpine:latest.\n\n"
            "examples:\n"
            "  sbuild pull registry.example.com/team/backend:v1.4.2\n"
            "  sbuild pull alpine@sha256:1f0c… --platform linux/arm64\n"
            "  sbuild pull localhost:5000/ml-deps --unpack\n"
            "  sbuild pull registry.example.com/team/backend:v1 --all-platforms\n",
    .run = run,
};
