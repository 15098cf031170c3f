#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/show.h"
#include "layers/collect.h"
#include "layers/descriptor.h"
#include "layers/image_index.h"

/* One row: the tags that one repository has on one image. */
struct row {
    char *repository;
    struct sb_strings tags;
    struct sb_descriptor manifest;
    char *damage; /* why the image can't be read, if it can't: nothing below is known */
    struct sb_digest config;
    size_t layers, absent;                         /* of them, those that lie in a registry */
    uint64_t size, tar_size;                       /* of all layers; tar_size 0: not known */
    struct sb_strings platforms, platforms_absent; /* of an index: whose images are here, or not */
};
struct rows {
    struct row *v;
    size_t n, cap;
};

static void rows_free(struct rows *rows) {
    for (size_t i = 0; i < rows->n; i++) {
        free(rows->v[i].repository);
        sb_strings_free(&rows->v[i].tags);
        free(rows->v[i].damage);
        sb_strings_free(&rows->v[i].platforms);
        sb_strings_free(&rows->v[i].platforms_absent);
    }
    free(rows->v);
}
#define autorows __attribute__((cleanup(rows_free)))

/* The colon before the tag, or the end: a registry's port has a colon as well. */
static size_t repository_size(const char *name) {
    const char *colon = strrchr(name, ':');
    return colon && !strchr(colon, '/') ? (size_t)(colon - name) : strlen(name);
}

static bool is_wanted(const char *name, const char *const *wanted, size_t count) {
    size_t n = repository_size(name);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(name, wanted[i]) || (strlen(wanted[i]) == n && !strncmp(name, wanted[i], n)))
            return true;
    return count == 0;
}

/* ---- what is in the store ---- */

/* Layers of which some are counted already, as images of an index share them. */
static void count_layers(struct sb_store *store, const struct sb_image *image,
                         struct sb_strings *seen, struct row *row, bool *known) {
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct sb_layer *layer = &image->layers[i].layer;
        struct sb_digest_text digest = sb_digest_text(&layer->descriptor.digest);
        if (seen && sb_strings_has(seen, digest.text))
            continue;
        if (seen)
            sb_strings_add(seen, digest.text);
        row->layers++;
        row->size += layer->descriptor.size;
        row->tar_size += layer->tar_size;
        *known &= layer->tar_size > 0;
        row->absent += !sb_show_is_here(store, &layer->descriptor.digest);
    }
}

static int look_at_image(struct sb_store *store, struct row *row, bool *known,
                         struct sb_error *err) {
    struct sb_image image;
    if (sb_image_peek(store, &row->manifest, &image, err) < 0)
        return -1;
    row->config = image.config_descriptor.digest;
    count_layers(store, &image, NULL, row, known);
    sb_image_free(&image);
    return 0;
}

static int look_at_index(struct sb_store *store, struct row *row, bool *known,
                         struct sb_error *err) {
    sb_autoimageindex struct sb_image_index index = {0};
    sb_autostrings struct sb_strings seen = {0};
    if (sb_image_index_peek(store, &row->manifest, &index, err) < 0)
        return -1;
    for (size_t i = 0; i < index.n; i++) {
        const struct sb_index_entry *e = &index.v[i];
        struct sb_image image;
        if (!e->platform.os)
            continue;
        bool here = sb_media_kind(e->descriptor.media_type) == SB_MEDIA_KIND_MANIFEST &&
                    sb_image_peek(store, &e->descriptor, &image, NULL) == 0;
        sb_strings_take(here ? &row->platforms : &row->platforms_absent,
                        sb_platform_text(&e->platform));
        if (!here)
            continue;
        count_layers(store, &image, &seen, row, known);
        sb_image_free(&image);
    }
    return 0;
}

static bool is_index(const struct row *row) {
    return sb_media_kind(row->manifest.media_type) == SB_MEDIA_KIND_INDEX;
}

static void look_at(struct sb_store *store, struct row *row) {
    struct sb_error why = {0};
    bool known = true;
    int rc = is_index(row) ? look_at_index(store, row, &known, &why)
                           : look_at_image(store, row, &known, &why);
    if (rc < 0)
        row->damage = sb_strdup(why.message);
    if (!known)
        row->tar_size = 0;
}

static struct row *find_row(struct rows *rows, const char *name, size_t n,
                            const struct sb_descriptor *manifest) {
    for (size_t i = rows->n; i-- > 0;) {
        struct row *row = &rows->v[i];
        if (strlen(row->repository) != n || strncmp(row->repository, name, n) != 0)
            return NULL; /* names are sorted: the repository is a new one */
        if (sb_digest_equal(&row->manifest.digest, &manifest->digest))
            return row;
    }
    return NULL;
}

static void add_tag(struct sb_store *store, const struct sb_tagged *tagged, struct rows *rows) {
    size_t n = repository_size(tagged->name);
    struct row *row = find_row(rows, tagged->name, n, &tagged->descriptor);
    if (!row) {
        SB_GROW(rows->v, rows->n, rows->cap);
        row = &rows->v[rows->n++];
        *row =
            (struct row){.repository = sb_strndup(tagged->name, n), .manifest = tagged->descriptor};
        look_at(store, row);
    }
    sb_strings_add(&row->tags, tagged->name[n] ? tagged->name + n + 1 : "");
}

static int collect_rows(struct sb_store *store, const char *const *wanted, size_t count,
                        struct rows *rows, struct sb_error *err) {
    struct sb_tagged_list tags;
    if (sb_store_tags(store, &tags, err) < 0)
        return -1;
    for (size_t i = 0; i < tags.n; i++)
        if (is_wanted(tags.v[i].name, wanted, count))
            add_tag(store, &tags.v[i], rows);
    sb_tagged_list_free(&tags);
    return 0;
}

/* ---- printing ---- */

static json_t *texts_json(const struct sb_strings *texts) {
    json_t *list = json_array();
    for (size_t i = 0; i < texts->n; i++)
        json_array_append_new(list, json_string(texts->v[i]));
    return list;
}

static json_t *row_json(const struct row *row) {
    json_t *tags = texts_json(&row->tags);
    json_t *out = json_pack("{s:o, s:o, s:o, s:s}", "name", sb_json_from_bytes(row->repository),
                            "tags", tags, "digest", sb_json_from_digest(&row->manifest.digest),
                            "media_type", row->manifest.media_type ? row->manifest.media_type : "");
    if (row->damage) {
        json_object_set_new(out, "error", sb_json_from_text(row->damage));
        return out;
    }
    if (is_index(row)) {
        json_object_set_new(out, "platforms", texts_json(&row->platforms));
        if (row->platforms_absent.n > 0)
            json_object_set_new(out, "platforms_absent", texts_json(&row->platforms_absent));
    } else {
        json_object_set_new(out, "config_digest", sb_json_from_digest(&row->config));
    }
    json_object_set_new(out, "layers", json_integer((json_int_t)row->layers));
    if (row->absent)
        json_object_set_new(out, "layers_absent", json_integer((json_int_t)row->absent));
    json_object_set_new(out, "size", json_integer((json_int_t)row->size));
    if (row->tar_size)
        json_object_set_new(out, "uncompressed_size", json_integer((json_int_t)row->tar_size));
    return out;
}

static int print_json(const struct rows *rows, struct sb_error *err) {
    sb_autojson json_t *all = json_array();
    for (size_t i = 0; i < rows->n; i++)
        json_array_append_new(all, row_json(&rows->v[i]));
    return sb_cli_print_json(all, err);
}

static void add_platforms(const struct row *row, struct sb_table *table) {
    sb_autobuf struct sb_buf text = {0};
    for (size_t i = 0; i < row->platforms.n; i++)
        sb_buf_addf(&text, "%s%s", text.len ? " " : "", row->platforms.v[i]);
    for (size_t i = 0; i < row->platforms_absent.n; i++)
        sb_buf_addf(&text, "%s(%s)", text.len ? " " : "", row->platforms_absent.v[i]);
    sb_strings_add(&table->cells, text.len ? sb_buf_text(&text) : "-");
}

/* The tags come last, as they are many; the name stands in the first row of its images only. What
 * indexes are for has a column where there is one. */
static void print_table(const struct rows *rows) {
    static const char *const titles[] = {"NAME", "DIGEST", "LAYERS", "SIZE", "PLATFORMS", "TAGS"};
    bool indexes = false;
    for (size_t i = 0; i < rows->n; i++)
        indexes |= is_index(&rows->v[i]);
    struct sb_table table = {.columns = indexes ? 6 : 5, .right = 1u << 2 | 1u << 3};
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        if (i != 4 || indexes)
            sb_strings_add(&table.cells, titles[i]);
    for (size_t i = 0; i < rows->n; i++) {
        const struct row *row = &rows->v[i];
        sb_strings_take(&table.cells, sb_show_text(row->repository));
        sb_strings_add(&table.cells, sb_show_digest(&row->manifest.digest).text);
        if (row->damage) {
            sb_strings_add(&table.cells, "-");
            sb_strings_add(&table.cells, "damaged");
        } else {
            if (row->absent)
                sb_strings_addf(&table.cells, "%zu/%zu", row->layers - row->absent, row->layers);
            else
                sb_strings_addf(&table.cells, "%zu", row->layers);
            sb_strings_add(&table.cells, sb_text_size(row->size).text);
        }
        if (indexes)
            add_platforms(row, &table);
        sb_autobuf struct sb_buf tags = {0};
        for (size_t k = 0; k < row->tags.n; k++)
            sb_buf_addf(&tags, "%s%s", k ? " " : "", row->tags.v[k]);
        sb_strings_take(&table.cells, sb_show_text(sb_buf_text(&tags)));
    }
    sb_table_print(&table);
    sb_strings_free(&table.cells);
}

/* On stderr: stdout is the table alone, for cut and awk. */
static int print_usage(struct sb_store *store, const struct rows *rows, struct sb_error *err) {
    for (size_t i = 0; i < rows->n; i++)
        if (rows->v[i].damage)
            sb_cli_say("sbuild: warning: %s:%s: %s\n", rows->v[i].repository, rows->v[i].tags.v[0],
                       rows->v[i].damage);
    struct sb_store_usage usage;
    if (sb_store_usage(store, &usage, err) < 0)
        return -1;
    uint64_t blobs = usage.kinds[SB_ITEM_BLOB].bytes, trees = usage.kinds[SB_ITEM_TREE].bytes;
    sb_cli_say("%s on disk in %s: blobs %s, trees %s, other %s\n", sb_text_size(usage.total).text,
               sb_store_path(store), sb_text_size(blobs).text, sb_text_size(trees).text,
               sb_text_size(usage.total - blobs - trees).text);
    return 0;
}

static int print_rows(struct sb_store *store, const struct rows *rows, struct sb_error *err) {
    if (rows->n == 0) {
        sb_cli_say("no images in %s yet; build one with: sbuild RECIPE\n", sb_store_path(store));
        return 0;
    }
    print_table(rows);
    if (sb_cli_flush(err) < 0)
        return -1;
    return print_usage(store, rows, err);
}

static int list(struct sb_store *store, const char *const *wanted, size_t count, bool json,
                struct sb_error *err) {
    autorows struct rows rows = {0};
    if (collect_rows(store, wanted, count, &rows, err) < 0)
        return -1;
    if (count > 0 && rows.n == 0) { /* the store knows the nearest names */
        struct sb_descriptor ignored;
        return sb_store_resolve(store, wanted[0], &ignored, err);
    }
    return json ? print_json(&rows, err) : print_rows(store, &rows, err);
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    const struct sb_option options[] = {{0}};
    sb_autofree const char **names = sb_alloc((size_t)argc * sizeof *names);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_images, argc, argv, options, &common, names, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    struct sb_settings settings = {0};
    struct sb_store *store;
    if (sb_cli_open_known(&common, &settings, &store, err) < 0)
        return -1;
    int failed = list(store, names, count, common.json, err);
    sb_store_close(store);
    sb_settings_free(&settings);
    return failed;
}

const struct sb_command sb_command_images = {
    .name = "images",
    .arguments = "[NAME…] [OPTION…]",
    .summary = "list the images of the store",
    .help = "One row for each image that has a name, with all its tags. SIZE is what its\n"
            "layers take compressed, as they go over the wire; layers that images share count\n"
            "in each of them. LAYERS 1/3: two of three lie in a registry, and are fetched\n"
            "when they are needed. An index is one row with the platforms of its images, in\n"
            "brackets those that aren't here. What the whole store takes on the disk stands\n"
            "below.\n\n"
            "NAME: only images of that name (backend), or with that tag (backend:v1).\n\n"
            "options:\n"
            "  --json       as a JSON array, sizes in bytes\n"
            "  --store DIR  the store to look into\n\n"
            "examples:\n"
            "  sbuild images\n"
            "  sbuild images backend\n"
            "  sbuild images --json | jq -r '.[] | .name + \" \" + .digest'\n",
    .run = run,
};
