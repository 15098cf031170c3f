#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "builder/source.h"
#include "cli/pushing.h"
#include "cli/transfer.h"
#include "layers/descriptor.h"
#include "layers/image_index.h"
#include "layers/origin.h"
#include "registry/pull.h"

struct push_command {
    struct sb_cli_transfer transfer;
    struct sb_cli_push push;
    bool create;
    struct sb_strings platforms; /* --platform */
    struct sb_pull_source source;
};

/* What is pushed. */
struct subject {
    struct sb_descriptor named;
    bool index, joins; /* it goes into the index that the registry has */
    struct sb_image_index rest;
    struct sb_index_images images;
};

static void subject_free(struct subject *subject) {
    sb_image_index_free(&subject->rest);
    sb_index_images_free(&subject->images);
}

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

/* ---- what ---- */

static int load_platform(struct push_command *c, const char *text, struct subject *subject,
                         struct sb_error *err) {
    sb_autoplatform struct sb_platform platform, its;
    struct sb_image *image = &subject->images.v[subject->images.n];
    if (sb_platform_parse(text, &platform, err) < 0 ||
        sb_image_load_for(c->transfer.store, &subject->named, &platform, image, err) < 0)
        return -1;
    subject->images.n++;
    if (sb_platform_read(image->config, &its) && sb_platform_compare(&its, &platform) == 0)
        return 0;
    sb_autofree char *other = its.os ? sb_platform_text(&its) : sb_strdup("no platform");
    return sb_fail(err, SB_E_FAILED, "its image is made for %s, not for %s", other, text);
}

static int load_platforms(struct push_command *c, struct subject *subject, struct sb_error *err) {
    size_t n = c->platforms.n;
    subject->joins = true;
    subject->images.v = sb_alloc((n + 1) * sizeof *subject->images.v);
    for (size_t i = 0; i < n; i++)
        if (load_platform(c, c->platforms.v[i], subject, err) < 0)
            return -1;
    return 0;
}

static int load_subject(struct push_command *c, struct subject *subject, struct sb_error *err) {
    struct sb_store *store = c->transfer.store;
    subject->index = sb_media_kind(subject->named.media_type) == SB_MEDIA_KIND_INDEX;
    if (c->platforms.n > 0)
        return load_platforms(c, subject, err);
    if (subject->index)
        return sb_image_index_load(store, &subject->named, &subject->rest, err) < 0
                   ? -1
                   : sb_index_images_load(store, &subject->rest, &subject->images, err);
    subject->images.v = sb_alloc(sizeof *subject->images.v);
    subject->images.n = 1;
    return sb_image_load(store, &subject->named, &subject->images.v[0], err);
}

/* ---- pushing ---- */

static int push_to(struct push_command *c, const struct subject *subject,
                   const struct sb_push_target *target, json_t *facts, struct sb_error *err) {
    struct sb_cli_transfer *t = &c->transfer;
    const struct sb_index_images *images = &subject->images;
    if (!subject->index && !subject->joins)
        return sb_cli_push_image(&c->push, t->registry, t->store, &images->v[0], target, NULL,
                                 t->progress, facts, err);
    sb_autofree struct sb_push_part *parts = sb_alloc((images->n + 1) * sizeof *parts);
    struct sb_push_index what = {.parts = parts,
                                 .count = images->n,
                                 .rest = subject->joins ? NULL : &subject->rest,
                                 .whole = !subject->joins};
    for (size_t i = 0; i < images->n; i++)
        parts[i].image = &images->v[i];
    return sb_cli_push_index(&c->push, t->registry, t->store, &what, target, t->progress, facts,
                             err);
}

static int check_platforms(const struct push_command *c, struct sb_error *err) {
    for (size_t i = 0; i < c->platforms.n; i++) {
        sb_autoplatform struct sb_platform ignored;
        if (sb_platform_parse(c->platforms.v[i], &ignored, err) < 0)
            return sb_error_context(err, "push: --platform");
    }
    return 0;
}

static int find(struct push_command *c, const char *const *arguments, size_t count,
                struct sb_push_targets *targets, struct subject *subject, struct sb_error *err) {
    if (check_platforms(c, err) < 0)
        return -1;
    for (size_t i = 1; i < count; i++)
        if (sb_push_targets_add(targets, arguments[i], "push", err) < 0)
            return -1;
    if (sb_source_find(c->transfer.store, arguments[0], &subject->named, err) < 0 ||
        (count == 1 && find_targets(c, arguments[0], &subject->named, targets, err) < 0))
        return -1;
    if (load_subject(c, subject, err) < 0)
        return sb_error_context(err, "the image %s", sb_text_shown(arguments[0]).text);
    return 0;
}

static int push(struct push_command *c, const char *const *arguments, size_t count,
                struct sb_error *err) {
    struct sb_cli_transfer *t = &c->transfer;
    struct sb_push_targets targets = {0};
    struct subject subject = {0};
    sb_autojson json_t *facts = json_array();
    int rc = find(c, arguments, count, &targets, &subject, err);
    for (size_t i = 0; i < targets.n && rc == 0; i++) {
        targets.v[i].ecr.create = c->create;
        rc = push_to(c, &subject, &targets.v[i], facts, err);
    }
    if (rc < 0)
        sb_progress_error(t->progress, err);
    sb_progress_free(sb_steal(t->progress));
    if (rc == 0 && t->common.json)
        rc = sb_cli_print_json(facts, err);
    else if (rc == 0)
        rc = sb_cli_push_print(facts, true, err);
    subject_free(&subject);
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
        {.name = "platform", .list = &c.platforms},
        {.name = "create-repository", .flag = &c.create},
        {.name = "progress", .text = &c.transfer.progress_how},
        {0},
    };
    sb_autofree const char **arguments = sb_alloc(((size_t)argc + 1) * sizeof *arguments);
    size_t count;
    int parsed = sb_options_parse(&sb_command_push, argc, argv, options, &c.transfer.common,
                                  arguments, &count, err);
    int rc = parsed < 0 ? -1 : 0;
    if (parsed > 0)
        rc = sb_cli_flush(err);
    if (parsed == 0)
        rc = sb_options_count(&sb_command_push, count, 1, (size_t)argc, err);
    if (parsed == 0 && rc == 0)
        rc = open_and_push(&c, arguments, count, err);
    sb_strings_free(&c.platforms);
    return rc;
}

const struct sb_command sb_command_push = {
    .name = "push",
    .arguments = "IMAGE [REF…] [OPTION…]",
    .summary = "send an image of the store to a registry",
    .help = "Prints HOST/REPOSITORY@DIGEST for each repository. What the registry has is not\n"
            "sent. All tags of a repository name one manifest, which goes last. Of an index\n"
            "all images are sent.\n\n"
            "options:\n" SB_CLI_PUSH_HELP
            "  --platform P         this image alone, into the index that REF names: those\n"
            "                       for other platforms stay; may be given several times\n"
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
            "  sbuild push backend old.example.com/backend --format docker\n"
            "  sbuild push backend localhost:5000/backend:v1 --platform linux/arm64\n",
    .run = run,
};
