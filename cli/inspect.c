#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/show.h"
#include "layers/contents.h"
#include "layers/image_index.h"

struct tally {
    uint64_t count, bytes;
};

/* ---- as JSON ---- */

/* What a layer's files take, from its table of contents; false when there is none (yet). */
static bool count_files(struct sb_store *store, const struct sb_layer *layer, struct tally *out) {
    struct sb_contents *contents;
    *out = (struct tally){0};
    if (sb_contents_open(store, &layer->diff_id, &contents, NULL) < 0)
        return false;
    for (size_t i = 0; i < sb_contents_count(contents); i++) {
        struct sb_entry entry;
        sb_contents_get(contents, i, &entry);
        out->count++;
        out->bytes += entry.hard_link ? 0 : entry.size;
    }
    sb_contents_close(contents);
    return true;
}

static json_t *layers_json(struct sb_store *store, const struct sb_image *image) {
    json_t *layers = json_array();
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct sb_image_layer *l = &image->layers[i];
        json_t *one =
            json_pack("{s:s?, s:o, s:o, s:s, s:I}", "name", l->name, "digest",
                      sb_json_from_digest(&l->layer.descriptor.digest), "diff_id",
                      sb_json_from_digest(&l->layer.diff_id), "media_type",
                      l->layer.descriptor.media_type, "size", (json_int_t)l->layer.descriptor.size);
        if (l->layer.tar_size > 0)
            json_object_set_new(one, "uncompressed_size",
                                json_integer((json_int_t)l->layer.tar_size));
        if (!sb_show_is_here(store, &l->layer.descriptor.digest))
            json_object_set_new(one, "here", json_false());
        struct tally files;
        if (count_files(store, &l->layer, &files)) {
            json_object_set_new(one, "entries", json_integer((json_int_t)files.count));
            json_object_set_new(one, "files_size", json_integer((json_int_t)files.bytes));
        }
        if (l->created_by)
            json_object_set_new(one, "created_by", json_string(l->created_by));
        if (l->annotations)
            json_object_set(one, "annotations", l->annotations);
        json_array_append_new(layers, one);
    }
    return layers;
}

static json_t *tags_json(const struct sb_strings *tags) {
    json_t *names = json_array();
    for (size_t i = 0; i < tags->n; i++)
        json_array_append_new(names, sb_json_from_bytes(tags->v[i]));
    return names;
}

/* tags: NULL where they are not the image's own. */
static json_t *image_json(struct sb_store *store, const struct sb_image *image,
                          const struct sb_strings *tags) {
    const json_t *c = image->config;
    json_t *all = json_pack(
        "{s:o, s:s, s:I, s:o, s:o*, s:s, s:s, s:s*, s:s*, s:o, s:O*, s:O*}", "digest",
        sb_json_from_digest(&image->descriptor.digest), "media_type", image->descriptor.media_type,
        "manifest_size", (json_int_t)image->descriptor.size, "config_digest",
        sb_json_from_digest(&image->config_descriptor.digest), "tags",
        tags ? tags_json(tags) : NULL, "os", sb_json_string(c, "os", ""), "architecture",
        sb_json_string(c, "architecture", ""), "variant", sb_json_string(c, "variant", NULL),
        "created", sb_json_string(c, "created", NULL), "layers", layers_json(store, image),
        "config", json_object_get(c, "config"), "history", json_object_get(c, "history"));
    if (image->annotations)
        json_object_set(all, "annotations", image->annotations);
    return all;
}

/* ---- for people ---- */

static void print_fact(const char *name, const char *value) {
    if (!value || !*value)
        return;
    sb_autofree char *shown = sb_show_text(value);
    sb_cli_print("%-11s %s\n", name, shown);
}

static bool is_plain(const char *word) {
    return *word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "_-+=.,:/@%^") == strlen(word);
}

/* A command as a shell would take it. */
static void print_command(const char *name, const json_t *words) {
    sb_autobuf struct sb_buf line = {0};
    for (size_t i = 0; i < json_array_size(words); i++) {
        const char *word = json_string_value(json_array_get(words, i));
        if (i > 0)
            sb_buf_addc(&line, ' ');
        if (!word || is_plain(word)) {
            sb_buf_adds(&line, word ? word : "");
            continue;
        }
        sb_buf_addc(&line, '\'');
        for (const char *p = word; *p; p++)
            sb_buf_adds(&line, *p == '\'' ? "'\\''" : (char[]){*p, '\0'});
        sb_buf_addc(&line, '\'');
    }
    print_fact(name, sb_buf_text(&line));
}

/* One to a line, the title before the first. */
static void print_list(const char *title, const struct sb_strings *items) {
    for (size_t i = 0; i < items->n; i++)
        print_fact(i ? "" : title, items->v[i]);
}

static void print_keys(const char *title, const json_t *object, bool with_values) {
    sb_autostrings struct sb_strings items = {0};
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)object, key, value)
        if (with_values)
            sb_strings_addf(&items, "%s=%s", key,
                            json_is_string(value) ? json_string_value(value) : "");
        else
            sb_strings_add(&items, key);
    sb_strings_sort(&items);
    print_list(title, &items);
}

static void print_config(const json_t *config) {
    print_fact("user", sb_json_string(config, "User", NULL));
    print_fact("workdir", sb_json_string(config, "WorkingDir", NULL));
    print_command("entrypoint", json_object_get(config, "Entrypoint"));
    print_command("cmd", json_object_get(config, "Cmd"));
    sb_autostrings struct sb_strings env = {0};
    size_t i;
    json_t *value;
    json_array_foreach (json_object_get(config, "Env"), i, value)
        sb_strings_add(&env, json_is_string(value) ? json_string_value(value) : "");
    print_list("env", &env);
    print_keys("ports", json_object_get(config, "ExposedPorts"), false);
    print_keys("volumes", json_object_get(config, "Volumes"), false);
    print_keys("labels", json_object_get(config, "Labels"), true);
    print_fact("stop signal", sb_json_string(config, "StopSignal", NULL));
}

static void print_head(const struct sb_image *image, const struct sb_strings *tags) {
    const char *variant = sb_json_string(image->config, "variant", NULL);
    sb_autofree char *platform = sb_format("%s/%s%s%s", sb_json_string(image->config, "os", "?"),
                                           sb_json_string(image->config, "architecture", "?"),
                                           variant ? "/" : "", variant ? variant : "");
    uint64_t size = 0;
    for (size_t i = 0; i < image->layer_count; i++)
        size += image->layers[i].layer.descriptor.size;
    print_fact("digest", sb_digest_text(&image->descriptor.digest).text);
    print_fact("config", sb_digest_text(&image->config_descriptor.digest).text);
    print_list("tags", tags);
    print_fact("platform", platform);
    print_fact("created", sb_json_string(image->config, "created", NULL));
    print_fact("size", sb_text_size(size).text);
}

static bool has_absent_layers(const struct sb_store *store, const struct sb_image *image) {
    for (size_t i = 0; i < image->layer_count; i++)
        if (!sb_show_is_here(store, &image->layers[i].layer.descriptor.digest))
            return true;
    return false;
}

/* Lowest first, as they were made. */
static void print_layers(struct sb_store *store, const struct sb_image *image) {
    bool absent = has_absent_layers(store, image);
    struct sb_table table = {.columns = absent ? 7 : 6, .right = 1u << 0 | 1u << 2 | 1u << 3};
    static const char *const titles[] = {"#",       "LAYER",  "SIZE", "FILES",
                                         "DIFF ID", "DIGEST", "WHERE"};
    for (size_t i = 0; i < table.columns; i++)
        sb_strings_add(&table.cells, titles[i]);
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct sb_image_layer *l = &image->layers[i];
        sb_strings_addf(&table.cells, "%zu", i + 1);
        sb_strings_take(&table.cells, sb_show_text(l->name ? l->name : "-"));
        sb_strings_add(&table.cells, sb_text_size(l->layer.descriptor.size).text);
        struct tally files;
        bool known = count_files(store, &l->layer, &files);
        sb_strings_add(&table.cells, known ? sb_text_size(files.bytes).text : "-");
        sb_strings_add(&table.cells, sb_show_digest(&l->layer.diff_id).text);
        sb_strings_add(&table.cells, sb_show_digest(&l->layer.descriptor.digest).text);
        if (absent)
            sb_strings_add(&table.cells, sb_show_is_here(store, &l->layer.descriptor.digest)
                                             ? ""
                                             : "in a registry");
    }
    sb_cli_print("\n");
    sb_table_print(&table);
    sb_strings_free(&table.cells);
}

/* Entries that made a layer have its number, the others (ENV and the like) none. */
static void print_history(const json_t *history) {
    if (json_array_size(history) == 0)
        return;
    sb_cli_print("\nhistory\n");
    size_t i, layer = 0;
    json_t *entry;
    json_array_foreach (history, i, entry) {
        const char *by = sb_json_string(entry, "created_by", ""),
                   *comment = sb_json_string(entry, "comment", "");
        sb_autofree char *shown = sb_show_text(*by ? by : *comment ? comment : "-");
        if (json_is_true(json_object_get(entry, "empty_layer")))
            sb_cli_print("  -  %s\n", shown);
        else
            sb_cli_print("%3zu  %s\n", ++layer, shown);
    }
}

/* ---- the command ---- */

/* The blob as it is, for jq and for comparing digests. */
static int print_blob(struct sb_store *store, const struct sb_descriptor *descriptor, size_t limit,
                      struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_blob_read(store, descriptor, limit, &text, err) < 0)
        return -1;
    sb_cli_print("%.*s", (int)text.len, sb_buf_text(&text));
    return sb_cli_flush(err);
}

static int find_tags(struct sb_store *store, const struct sb_descriptor *manifest,
                     struct sb_strings *out, struct sb_error *err) {
    struct sb_tagged_list tags;
    if (sb_store_tags(store, &tags, err) < 0)
        return -1;
    for (size_t i = 0; i < tags.n; i++)
        if (sb_digest_equal(&tags.v[i].descriptor.digest, &manifest->digest))
            sb_strings_add(out, tags.v[i].name);
    sb_tagged_list_free(&tags);
    return 0;
}

/* ---- an index ---- */

static json_t *entry_json(struct sb_store *store, const struct sb_index_entry *entry,
                          const struct sb_image *image) {
    json_t *facts = sb_show_index_entry(entry);
    sb_autojson json_t *its = image ? image_json(store, image, NULL) : NULL;
    if (its)
        json_object_update_missing(facts, its);
    else
        json_object_set_new(facts, "here", json_false());
    return facts;
}

static const struct sb_image *find_image(const struct sb_index_images *images,
                                         const struct sb_index_entry *entry) {
    for (size_t i = 0; i < images->n; i++)
        if (sb_digest_equal(&images->v[i].descriptor.digest, &entry->descriptor.digest))
            return &images->v[i];
    return NULL;
}

static int print_index_json(struct sb_store *store, const struct sb_image_index *index,
                            const struct sb_index_images *images, const struct sb_strings *tags,
                            struct sb_error *err) {
    json_t *list = json_array();
    for (size_t i = 0; i < index->n; i++)
        json_array_append_new(list,
                              entry_json(store, &index->v[i], find_image(images, &index->v[i])));
    sb_autojson json_t *facts = json_pack(
        "{s:o, s:s, s:I, s:o, s:o, s:O*}", "digest", sb_json_from_digest(&index->descriptor.digest),
        "media_type", index->descriptor.media_type, "manifest_size",
        (json_int_t)index->descriptor.size, "tags", tags_json(tags), "images", list, "annotations",
        json_object_get(index->others, "annotations"));
    return sb_cli_print_json(facts, err);
}

/* What is no image, or not in the store, has no size. */
static void print_index(const struct sb_image_index *index, const struct sb_index_images *images,
                        const struct sb_strings *tags) {
    struct sb_table table = {.columns = 4, .right = 1u << 1 | 1u << 2};
    static const char *const titles[] = {"PLATFORM", "LAYERS", "SIZE", "DIGEST"};
    print_fact("digest", sb_digest_text(&index->descriptor.digest).text);
    print_list("tags", tags);
    print_keys("annotations", json_object_get(index->others, "annotations"), true);
    sb_cli_print("\n");
    for (size_t i = 0; i < table.columns; i++)
        sb_strings_add(&table.cells, titles[i]);
    for (size_t i = 0; i < index->n; i++) {
        const struct sb_index_entry *e = &index->v[i];
        const struct sb_image *image = find_image(images, e);
        uint64_t size = 0;
        for (size_t k = 0; image && k < image->layer_count; k++)
            size += image->layers[k].layer.descriptor.size;
        sb_strings_take(&table.cells, sb_show_index_platform(e));
        sb_strings_addf(&table.cells, image ? "%zu" : "-", image ? image->layer_count : 0);
        sb_strings_add(&table.cells, image ? sb_text_size(size).text : "-");
        sb_strings_take(&table.cells, sb_show_text(sb_json_string(e->json, "digest", "")));
    }
    sb_table_print(&table);
    sb_strings_free(&table.cells);
}

static int inspect_index(struct sb_cli_images *images, bool json, struct sb_error *err) {
    sb_autoimageindex struct sb_image_index index = {0};
    sb_autoindeximages struct sb_index_images its = {0};
    sb_autostrings struct sb_strings tags = {0};
    if (sb_image_index_load(images->store, &images->named[0], &index, err) < 0 ||
        find_tags(images->store, &images->named[0], &tags, err) < 0)
        return -1;
    sb_index_images_peek(images->store, &index, &its);
    if (json)
        return print_index_json(images->store, &index, &its, &tags, err);
    print_index(&index, &its, &tags);
    return sb_cli_flush(err);
}

static int inspect(const struct sb_common *common, const char *name, const char *platform,
                   bool manifest, bool config, struct sb_error *err) {
    sb_autoimages struct sb_cli_images images = {.platform = platform, .whole = !config};
    sb_autostrings struct sb_strings tags = {0};
    if (sb_cli_images_open(&images, common, &name, 1, err) < 0)
        return -1;
    const struct sb_image *image = &images.image[0];
    if (!image->config)
        return manifest ? print_blob(images.store, &images.named[0], SB_MANIFEST_LIMIT, err)
                        : inspect_index(&images, common->json, err);
    if (manifest)
        return print_blob(images.store, &image->descriptor, SB_MANIFEST_LIMIT, err);
    if (config)
        return print_blob(images.store, &image->config_descriptor, SB_CONFIG_LIMIT, err);
    if (find_tags(images.store, &image->descriptor, &tags, err) < 0)
        return -1;
    if (common->json) {
        sb_autojson json_t *facts = image_json(images.store, image, &tags);
        return sb_cli_print_json(facts, err);
    }
    print_head(image, &tags);
    print_config(json_object_get(image->config, "config"));
    print_layers(images.store, image);
    print_history(json_object_get(image->config, "history"));
    return sb_cli_flush(err);
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    bool manifest = false, config = false;
    const char *platform = NULL;
    const struct sb_option options[] = {{.name = "manifest", .flag = &manifest},
                                        {.name = "config", .flag = &config},
                                        {.name = "platform", .text = &platform},
                                        {0}};
    sb_autofree const char **arguments = sb_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_inspect, argc, argv, options, &common, arguments, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_inspect, count, 1, 1, err) < 0)
        return -1;
    if (manifest + config + common.json > 1)
        return sb_fail(err, SB_E_USAGE,
                       "inspect: only one of --json, --manifest and --config can be printed");
    return inspect(&common, arguments[0], platform, manifest, config, err);
}

const struct sb_command sb_command_inspect = {
    .name = "inspect",
    .arguments = "IMAGE [OPTION…]",
    .summary = "show an image: its tags, config, layers and history",
    .help = "Layers stand lowest first; SIZE is the compressed blob, FILES what its files\n"
            "take unpacked, \"-\" where that is not known before an ls. Layers that are not in\n"
            "the store, and fetched when they are needed, are marked. Of an index, the images\n"
            "that it names are listed.\n\n"
            "options:\n"
            "  --json       all of it as one JSON object, sizes in bytes\n"
            "  --manifest   the manifest, byte for byte\n"
            "  --config     the image config, byte for byte\n"
            "  --platform P  of an index, the image for OS/ARCHITECTURE[/VARIANT]\n"
            "  --store DIR  the store to look into\n\n"
            "IMAGE is NAME:TAG, NAME, a digest or its first digits, oci:PATH[:TAG],\n"
            "oci-archive:FILE[:TAG] or docker-archive:FILE.\n\n"
            "examples:\n"
            "  sbuild inspect backend:v1.4.2\n"
            "  sbuild inspect backend --json | jq '.layers[].size'\n"
            "  sbuild inspect backend --config | jq .config.Env\n"
            "  sbuild inspect backend --platform linux/arm64\n",
    .run = run,
};
