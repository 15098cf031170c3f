#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "builder/source.h"
#include "cli/pushing.h"
#include "cli/transfer.h"
#include "layers/origin.h"
#include "registry/pull.h"

struct push_command {
    struct sb_cli_transfer transfer;
    struct sb_cli_push push;
    bool create;
    struct sb_pull_source source;
};

/* The names of the image that say where it may go: the one that it was called by, else all. */
static int find_targets(struct push_command *c, const char *image,
                        const struct sb_descriptor *manifest, struct sb_push_targets *out,
                        struct sb_error *err) {
    if (sb_reference_has_host(image)) {
        sb_autofree char *whole =
            strchr(strrchr(image, '/'), ':') ? sb_strdup(image) : sb_format("%s:latest", image);
        return sb_push_targets_add(out, whole, "push", err);
    }
    struct sb_tagged_list tags;
    int rc = sb_store_tags(c->transfer.store, &tags, err);
    for (size_t i = 0; i < tags.n && rc == 0; i++)
        if (sb_digest_equal(&tags.v[i].descriptor.digest, &manifest->digest) &&
            sb_reference_has_host(tags.v[i].name))
            rc = sb_push_targets_add(out, tags.v[i].name, "push", err);
    sb_tagged_list_free(&tags);
    for (size_t i = 0; i < out->n; i++)
        sb_push_target_split(&out->v[i]);
    if (rc < 0 || out->n > 0)
        return rc;
    sb_fail(err, SB_E_USAGE, "push: %s has no name that says where to push it",
            sb_text_shown(image).text);
    return sb_error_hint(err, "say where: sbuild push %.100s registry.example.com/team/app:v1",
                         image);
}

static int push(struct push_command *c, const char *const *arguments, size_t count,
                struct sb_error *err) {
    struct sb_cli_transfer *t = &c->transfer;
    struct sb_push_targets targets = {0};
    struct sb_descriptor manifest;
    struct sb_image image = {0};
    int rc = 0;
    for (size_t i = 1; i < count && rc == 0; i++)
        rc = sb_push_targets_add(&targets, arguments[i], "push", err);
    if (rc == 0)
        rc = sb_source_find(t->store, arguments[0], &manifest, err);
    if (rc == 0 && count == 1)
        rc = find_targets(c, arguments[0], &manifest, &targets, err);
    if (rc == 0 && sb_image_load(t->store, &manifest, &image, err) < 0)
        rc = sb_error_context(err, "the image %s", sb_text_shown(arguments[0]).text);
    sb_autojson json_t *facts = json_array();
    for (size_t i = 0; i < targets.n; i++)
        targets.v[i].ecr.create = c->create;
    for (size_t i = 0; i < targets.n && rc == 0; i++)
        rc = sb_cli_push_image(&c->push, t->registry, t->store, &image, &targets.v[i], NULL,
                               t->progress, facts, err);
    if (rc < 0)
        sb_progress_error(t->progress, err);
    sb_progress_free(sb_steal(t->progress));
    if (rc == 0 && t->common.json)
        rc = sb_cli_print_json(facts, err);
    else if (rc == 0)
        rc = sb_cli_push_print(facts, true, err);
    sb_image_free(&image);
    sb_push_targets_free(&targets);
    return rc;
}

static int open_and_push(struct push_command *c, const char *const *arguments, size_t count,
                         struct sb_error *err) {
    struct sb_cli_transfer *t = &c->transfer;
    int rc = sb_cli_push_parse(&c->push, "push", err);
    if (rc == 0)
        rc = sb_cli_transfer_open(t, &c->push.registry, false, err);
    if (rc == 0) {
        sb_registry_prepare(t->registry);
        c->source = (struct sb_pull_source){t->registry, sb_progress_transfer, t->progress};
        sb_pull_install_source(&c->source, t->store);
        rc = push(c, arguments, count, err);
        sb_store_set_source(t->store, NULL);
    }
    sb_cli_transfer_close(t);
    return rc;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct push_command c = {.transfer.progress_how = "auto"};
    const struct sb_option options[] = {
        SB_CLI_PUSH_OPTIONS(c.push),
        {.name = "create-repository", .flag = &c.create},
        {.name = "progress", .text = &c.transfer.progress_how},
        {0},
    };
    sb_autofree const char **arguments = sb_alloc(((size_t)argc + 1) * sizeof *arguments);
    size_t count;
    int parsed = sb_options_parse(&sb_command_push, argc, argv, options, &c.transfer.common,
                                  arguments, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_push, count, 1, (size_t)argc, err) < 0)
        return -1;
    return open_and_push(&c, arguments, count, err);
}

const struct sb_command sb_command_push = {
    .name = "push",
    .arguments = "IMAGE [REF…] [OPTION…]",
    .summary = "send an image of the store to a registry",
    .help = "Prints HOST/REPOSITORY@DIGEST for each repository. What the registry has is not\n"
            "sent. All tags of a repository name one manifest, which goes last.\n\n"
            "options:\n" SB_CLI_PUSH_HELP
            "  --create-repository  make the repository in ECR when it is missing; other\n"
            "                       registries do so by themselves\n"
            "  --json               print facts instead\n"
            "  --progress HOW       auto, tty, plain or json\n"
            "  --store DIR          the store to read from\n\n"
            "REF is HOST/REPOSITORY[:TAG], latest without a tag. Without REF the image goes\n"
            "to the name that it was called by, or else to all that begin with a host.\n\n"
            "examples:\n"
            "  sbuild push backend:v1.4.2 registry.example.com/team/backend:v1.4.2\n"
            "  sbuild push backend localhost:5000/backend localhost:5000/backend:stable\n"
            "  sbuild push registry.example.com/team/backend:v1.4.2\n"
            "  sbuild push backend old.example.com/backend --format docker\n",
    .run = run,
};
