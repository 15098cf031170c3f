#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "builder/source.h"
#include "cli/pushing.h"
#include "cli/show.h"
#include "cli/transfer.h"
#include "layers/descriptor.h"
#include "layers/image_index.h"
#include "registry/pull.h"

struct index_command {
    struct sb_cli_transfer transfer;
    struct sb_cli_push push;
    struct sb_pull_source source;
    bool add, create;
    struct sb_strings removed_texts;
    struct sb_platforms removed;
    struct sb_index_images images; /* that are named; room for more of them: */
    size_t cap;
    struct sb_image_index changed; /* of the store, as it is then */
};

static bool joins(const struct index_command *c) {
    return c->add || c->removed.n > 0;
}

/* ---- the images that are named ---- */

static int take_image(struct index_command *c, struct sb_image *image, const char *name,
                      struct sb_error *err) {
    sb_autoplatform struct sb_platform platform;
    SB_GROW(c->images.v, c->images.n, c->cap);
    c->images.v[c->images.n++] = *image;
    if (!sb_platform_read(image->config, &platform))
        return sb_fail(err, SB_E_FAILED, "index: %s does not say which platform it is for",
                       sb_text_shown(name).text);
    for (size_t i = 0; i + 1 < c->images.n; i++) {
        sb_autoplatform struct sb_platform other;
        if (!sb_platform_read(c->images.v[i].config, &other) ||
            sb_platform_compare(&platform, &other) != 0)
            continue;
        if (sb_digest_equal(&c->images.v[i].descriptor.digest, &image->descriptor.digest)) {
            sb_image_free(&c->images.v[--c->images.n]);
            return 0;
        }
        sb_autofree char *text = sb_platform_text(&platform);
        return sb_fail(err, SB_E_USAGE, "index: %s is one more image for %s",
                       sb_text_shown(name).text, text);
    }
    return 0;
}

static int take_index(struct index_command *c, const struct sb_descriptor *descriptor,
                      const char *name, struct sb_error *err) {
    sb_autoimageindex struct sb_image_index index;
    struct sb_index_images its;
    if (sb_image_index_load(c->transfer.store, descriptor, &index, err) < 0 ||
        sb_index_images_load(c->transfer.store, &index, &its, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; i < its.n && rc == 0; i++) {
        struct sb_image image = its.v[i];
        its.v[i] = (struct sb_image){0};
        rc = take_image(c, &image, name, err);
    }
    sb_index_images_free(&its);
    return rc;
}

/* Of a registry, where the layers stay; a name with a host may be one of the store alone. */
static int find(struct index_command *c, const char *name, struct sb_descriptor *out,
                struct sb_error *err) {
    const struct sb_pull_options options = {
        .lazy = true, .all_platforms = true, .untagged = true, .tag_own = true};
    struct sb_cli_transfer *t = &c->transfer;
    struct sb_reference reference;
    struct sb_pulled pulled;
    if (!sb_reference_has_host(name))
        return sb_source_find(t->store, name, out, err);
    if (sb_reference_parse(name, &reference, err) < 0)
        return -1;
    int rc = sb_pull_image(t->registry, t->store, &reference, &options, &pulled, err);
    sb_reference_free(&reference);
    if (rc == 0)
        *out = pulled.image;
    else if (pulled.absent && sb_source_find(t->store, name, out, NULL) == 0)
        rc = 0;
    return rc;
}

static int take(struct index_command *c, const char *name, struct sb_error *err) {
    struct sb_descriptor descriptor;
    struct sb_image image;
    int rc = find(c, name, &descriptor, err);
    if (rc == 0 && sb_media_kind(descriptor.media_type) == SB_MEDIA_KIND_INDEX)
        return take_index(c, &descriptor, name, err);
    if (rc < 0 || sb_image_load(c->transfer.store, &descriptor, &image, err) < 0)
        return sb_error_context(err, "the image %s", sb_text_shown(name).text);
    return take_image(c, &image, name, err);
}

/* ---- facts ---- */

static json_t *entries_json(const struct sb_image_index *index) {
    json_t *images = json_array();
    for (size_t i = 0; i < index->n; i++)
        json_array_append_new(images, sb_show_index_entry(&index->v[i]));
    return images;
}

static void print_entries(const struct sb_image_index *index) {
    struct sb_table table = {.columns = 2};
    sb_strings_add(&table.cells, "PLATFORM");
    sb_strings_add(&table.cells, "DIGEST");
    for (size_t i = 0; i < index->n; i++) {
        const struct sb_index_entry *e = &index->v[i];
        sb_strings_take(&table.cells, sb_show_index_platform(e));
        sb_strings_add(&table.cells, sb_json_string(e->json, "digest", ""));
    }
    sb_table_print(&table);
    sb_strings_free(&table.cells);
}

static int print_index(const struct index_command *c, const char *name,
                       const struct sb_image_index *index, struct sb_error *err) {
    if (!c->transfer.common.json) {
        print_entries(index);
        return sb_cli_flush(err);
    }
    sb_autojson json_t *facts =
        json_pack("{s:s, s:o, s:s, s:o}", "name", name, "digest",
                  sb_json_from_digest(&index->descriptor.digest), "media_type",
                  index->descriptor.media_type, "images", entries_json(index));
    return sb_cli_print_json(facts, err);
}

/* ---- in the store ---- */

static int no_index(const char *name, struct sb_error *err) {
    sb_fail(err, SB_E_FAILED, "index: %s is one image, and no index", sb_text_shown(name).text);
    return sb_error_hint(err, "sbuild index %.200s --add IMAGE makes one of it", name);
}

/* What the name has there; a lone image is the first. */
static int load_there(const struct index_command *c, const struct sb_descriptor *now,
                      struct sb_image_index *out, struct sb_error *err) {
    struct sb_store *store = c->transfer.store;
    struct sb_image image;
    if (sb_media_kind(now->media_type) == SB_MEDIA_KIND_INDEX)
        return sb_image_index_load(store, now, out, err);
    if (sb_image_peek(store, now, &image, err) < 0)
        return -1;
    int rc = sb_image_index_put(out, &image, err);
    sb_image_free(&image);
    return rc < 0 ? -1 : 0;
}

/* Nobody else changes it meanwhile. */
static int change_here(void *data, const char *name, const struct sb_descriptor *now,
                       struct sb_descriptor *out, struct sb_error *err) {
    struct index_command *c = data;
    struct sb_image_index *index = &c->changed;
    if (now && joins(c) && load_there(c, now, index, err) < 0)
        return -1;
    for (size_t i = 0; i < c->removed.n; i++)
        if (!sb_image_index_remove(index, &c->removed.v[i])) {
            sb_autofree char *platform = sb_platform_text(&c->removed.v[i]);
            return sb_fail(err, SB_E_NOT_FOUND, "index: %s has no image for %s", name, platform);
        }
    for (size_t i = 0; i < c->images.n; i++)
        if (sb_image_index_put(index, &c->images.v[i], err) < 0)
            return -1;
    if (index->n == 0) {
        sb_fail(err, SB_E_USAGE, "index: %s would have no image any more", name);
        return sb_error_hint(err, "sbuild tag --delete %.200s takes the name away", name);
    }
    if (sb_image_index_save(c->transfer.store, index, err) < 0)
        return -1;
    *out = index->descriptor;
    return 0;
}

static int show_here(const struct index_command *c, const char *name, struct sb_error *err) {
    struct sb_descriptor there;
    sb_autoimageindex struct sb_image_index index = {0};
    if (sb_store_resolve(c->transfer.store, name, &there, err) < 0)
        return -1;
    if (sb_media_kind(there.media_type) != SB_MEDIA_KIND_INDEX)
        return no_index(name, err);
    return sb_image_index_load(c->transfer.store, &there, &index, err) < 0
               ? -1
               : print_index(c, name, &index, err);
}

static int work_here(struct index_command *c, const char *name, struct sb_error *err) {
    const char *colon = strrchr(name, ':');
    bool tagged = colon && !strchr(colon, '/');
    sb_autofree char *whole = tagged ? sb_strdup(name) : sb_format("%s:latest", name);
    sb_autostrings struct sb_strings names = {0};
    if (c->images.n == 0 && !joins(c))
        return show_here(c, name, err);
    sb_strings_add(&names, whole);
    if (sb_store_tag_chosen(c->transfer.store, &names, change_here, c, err) < 0)
        return -1;
    if (c->transfer.common.json)
        return print_index(c, whole, &c->changed, err);
    sb_autofree char *platforms = sb_image_index_platforms(&c->changed);
    sb_cli_say("%s is now for %s\n", whole, platforms);
    sb_cli_print("%s\n", sb_digest_text(&c->changed.descriptor.digest).text);
    return sb_cli_flush(err);
}

/* ---- in a registry ---- */

static int show_there(struct index_command *c, const struct sb_reference *r, const char *name,
                      struct sb_error *err) {
    struct sb_digest_text digest = sb_digest_text(&r->digest);
    const char *tag = r->tag ? r->tag : "latest";
    struct sb_remote *remote = sb_remote_open(c->transfer.registry, r->host, r->repository);
    struct sb_manifest manifest = {0};
    sb_autoimageindex struct sb_image_index index = {0};
    int rc = sb_remote_manifest_get_own(remote, r->has_digest ? digest.text : tag, &manifest, err);
    if (rc == 0)
        rc = sb_media_kind(manifest.descriptor.media_type) == SB_MEDIA_KIND_INDEX
                 ? sb_image_index_parse(sb_buf_text(&manifest.bytes), manifest.bytes.len,
                                        &manifest.descriptor, &index, err)
                 : no_index(name, err);
    if (rc == 0)
        rc = print_index(c, name, &index, err);
    sb_manifest_free(&manifest);
    sb_remote_free(remote);
    return rc;
}

static int change_there(struct index_command *c, const struct sb_push_target *target,
                        struct sb_error *err) {
    struct sb_cli_transfer *t = &c->transfer;
    sb_autofree struct sb_push_part *parts = sb_alloc((c->images.n + 1) * sizeof *parts);
    struct sb_push_index what = {
        .parts = parts, .count = c->images.n, .whole = !joins(c), .removed = &c->removed};
    sb_autojson json_t *facts = json_array();
    for (size_t i = 0; i < c->images.n; i++)
        parts[i].image = &c->images.v[i];
    if (sb_cli_push_index(&c->push, t->registry, t->store, &what, target, t->progress, facts, err) <
        0)
        return -1;
    sb_progress_free(sb_steal(t->progress));
    return t->common.json ? sb_cli_print_json(json_array_get(facts, 0), err)
                          : sb_cli_push_print(facts, true, err);
}

static int work_there(struct index_command *c, const char *name, struct sb_error *err) {
    struct sb_push_targets targets = {0};
    struct sb_reference reference;
    int rc;
    if (c->images.n > 0 || joins(c)) {
        rc = sb_push_targets_add(&targets, name, "index", err);
        if (rc == 0)
            targets.v[0].ecr.create = c->create;
        if (rc == 0)
            rc = change_there(c, &targets.v[0], err);
        sb_push_targets_free(&targets);
        return rc;
    }
    if (sb_reference_parse(name, &reference, err) < 0)
        return -1;
    rc = show_there(c, &reference, name, err);
    sb_reference_free(&reference);
    return rc;
}

/* ---- the command ---- */

static int parse_removed(struct index_command *c, struct sb_error *err) {
    for (size_t i = 0; i < c->removed_texts.n; i++) {
        sb_autoplatform struct sb_platform platform;
        if (sb_platform_parse(c->removed_texts.v[i], &platform, err) < 0)
            return sb_error_context(err, "index: --remove");
        sb_platforms_add(&c->removed, &platform);
    }
    return 0;
}

static int work(struct index_command *c, const char *const *arguments, size_t count,
                struct sb_error *err) {
    struct sb_cli_transfer *t = &c->transfer;
    if (parse_removed(c, err) < 0 || sb_cli_push_parse(&c->push, "index", err) < 0 ||
        sb_cli_transfer_open(t, &c->push.registry, false, err) < 0)
        return -1;
    c->source = (struct sb_pull_source){t->registry, sb_progress_transfer, t->progress};
    sb_pull_install_source(&c->source, t->store);
    int rc = 0;
    for (size_t i = 1; i < count && rc == 0; i++)
        rc = take(c, arguments[i], err);
    if (rc == 0)
        rc = sb_reference_has_host(arguments[0]) ? work_there(c, arguments[0], err)
                                                 : work_here(c, arguments[0], err);
    if (rc < 0 && t->progress)
        sb_progress_error(t->progress, err);
    sb_store_set_source(t->store, NULL);
    return rc;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct index_command c = {.transfer.progress_how = "auto"};
    const struct sb_option options[] = {
        {.name = "add", .flag = &c.add},
        {.name = "remove", .list = &c.removed_texts},
        SB_CLI_PUSH_OPTIONS(c.push),
        {.name = "create-repository", .flag = &c.create},
        {.name = "progress", .text = &c.transfer.progress_how},
        {0},
    };
    sb_autofree const char **arguments = sb_alloc(((size_t)argc + 1) * sizeof *arguments);
    size_t count;
    int parsed = sb_options_parse(&sb_command_index, argc, argv, options, &c.transfer.common,
                                  arguments, &count, err);
    int rc = parsed > 0 ? sb_cli_flush(err) : parsed;
    if (parsed == 0)
        rc = sb_options_count(&sb_command_index, count, 1, (size_t)argc, err);
    if (parsed == 0 && rc == 0 && c.add && count == 1)
        rc = sb_fail(err, SB_E_USAGE, "index: --add: an image to add is missing");
    if (parsed == 0 && rc == 0)
        rc = work(&c, arguments, count, err);
    sb_cli_transfer_close(&c.transfer);
    sb_index_images_free(&c.images);
    sb_image_index_free(&c.changed);
    sb_platforms_free(&c.removed);
    sb_strings_free(&c.removed_texts);
    return rc;
}

const struct sb_command sb_command_index = {
    .name = "index",
    .arguments = "NAME [IMAGE…] [OPTION…]",
    .summary = "one name for the images of several platforms",
    .help = "Makes NAME an index of these images, one for each platform; without IMAGE, shows\n"
            "what is in it. NAME is HOST/REPOSITORY[:TAG] in a registry, where the images are\n"
            "sent if they aren't there, or else NAME[:TAG] in the store. Several machines may\n"
            "add to one name at the same time. Prints NAME@DIGEST, or the digest.\n\n"
            "options:\n"
            "  --add                put the images into the index that is there, each in\n"
            "                       place of the one for its platform\n"
            "  --remove PLATFORM    take the image for this platform out; may be given\n"
            "                       several times\n" SB_CLI_PUSH_HELP
            "  --create-repository  make the repository in ECR when it is missing\n"
            "  --json               print facts instead\n"
            "  --progress HOW       auto, tty, plain or json\n"
            "  --store DIR          the store to work in\n\n"
            "IMAGE is an image or an index, in a registry where it begins with a host, else\n"
            "in the store, or oci:PATH[:TAG] and the like (see sbuild tag).\n\n"
            "examples:\n"
            "  sbuild index registry.example.com/team/app:v1 app:v1-amd64 app:v1-arm64\n"
            "  sbuild index registry.example.com/team/app:v1 --add app:v1-arm64\n"
            "  sbuild index registry.example.com/team/app:v1 --remove linux/arm/v7\n"
            "  sbuild index registry.example.com/team/app:v1 --json | jq '.images[].platform'\n",
    .run = run,
};
