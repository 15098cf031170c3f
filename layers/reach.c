/*
 * What images and cache records need. Careful rather than clever: any descriptor anywhere in a
 * manifest counts, known or not.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "layers/descriptor.h"
#include "layers/image.h"
#include "layers/inventory.h"
#include "layers/origin.h"
#include "layers/store_private.h"

#define RECORD_LIMIT (64u << 20)

/* What a document refers to. */
struct reference {
    struct sb_digest digest;
    enum sb_media_kind kind;
};

struct walk {
    struct sb_store *store;
    const struct sb_inventory *inventory;
    struct sb_needs *needs;
    struct reference *todo;
    size_t todo_count, todo_cap;
    bool ok;
    struct sb_error *err;
};

static void need(struct sb_needs *needs, struct sb_item *item) {
    if (!item)
        return;
    for (size_t i = 0; i < needs->n; i++)
        if (needs->v[i] == item)
            return;
    SB_GROW(needs->v, needs->n, needs->cap);
    needs->v[needs->n++] = item;
    item->needed++;
}

/* What is made from a layer, and kept by its diff ID. */
static void need_diff_id(const struct sb_inventory *inventory, struct sb_needs *needs,
                         const char *text) {
    struct sb_digest diff_id;
    if (!text || sb_digest_parse(text, &diff_id, NULL) < 0)
        return;
    sb_autofree char *tree = sb_format("sbuild/trees/%s", sb_digest_hex(&diff_id).text);
    sb_autofree char *contents = sb_format("sbuild/contents/%s", sb_digest_hex(&diff_id).text);
    need(needs, sb_inventory_find(inventory, SB_ITEM_TREE, tree));
    need(needs, sb_inventory_find(inventory, SB_ITEM_CONTENTS, contents));
}

/* ---- images ---- */

/* Notes what the document refers to, for later: a chain of documents may be long, and only one is
 * in memory. */
static void walk_json(struct walk *walk, json_t *value) {
    const char *key, *text = sb_json_string(value, "digest", NULL);
    json_t *item;
    size_t i;
    struct sb_digest digest;
    if (text && sb_digest_parse(text, &digest, NULL) == 0) {
        SB_GROW(walk->todo, walk->todo_count, walk->todo_cap);
        walk->todo[walk->todo_count++] =
            (struct reference){digest, sb_media_kind(sb_json_string(value, "mediaType", ""))};
    }
    json_object_foreach (value, key, item) {
        walk_json(walk, item);
    }
    json_array_foreach (value, i, item) {
        walk_json(walk, item);
    }
}

static void walk_config(struct walk *walk, const json_t *config) {
    size_t i;
    json_t *diff_id;
    json_array_foreach (json_object_get(json_object_get(config, "rootfs"), "diff_ids"), i,
                        diff_id) {
        need_diff_id(walk->inventory, walk->needs, json_string_value(diff_id));
    }
}

/* The JSON of a blob that may refer to others; NULL for one that does not. What has an unknown type
 * may be JSON, and then counts as well. */
static json_t *read_document(struct walk *walk, const struct sb_item *item,
                             const struct sb_digest *digest, enum sb_media_kind kind) {
    size_t limit = kind == SB_MEDIA_KIND_CONFIG ? SB_CONFIG_LIMIT : SB_MANIFEST_LIMIT;
    bool manifest = kind == SB_MEDIA_KIND_INDEX || kind == SB_MEDIA_KIND_MANIFEST;
    if (kind == SB_MEDIA_KIND_LAYER || (!manifest && item->bytes > limit))
        return NULL;
    sb_autobuf struct sb_buf text = {0};
    struct sb_descriptor descriptor = {.digest = *digest};
    struct sb_error own = {0};
    json_t *value = NULL;
    if (sb_blob_peek(walk->store, &descriptor, limit, &text, &own) == 0)
        value = sb_json_parse(sb_buf_text(&text), text.len, &own);
    if (!value && manifest) {
        walk->ok = false;
        if (walk->err)
            *walk->err = own;
        sb_error_context(walk->err, "reading the manifest %s", sb_digest_text(digest).text);
    }
    return value;
}

static struct sb_item *find_origin(const struct sb_inventory *inventory,
                                   const struct sb_digest *digest) {
    return sb_inventory_find(inventory, SB_ITEM_ORIGIN, sb_origin_name(digest).text);
}

static void walk_one(struct walk *walk, const struct sb_digest *digest, enum sb_media_kind kind) {
    struct sb_item *item =
        sb_inventory_find(walk->inventory, SB_ITEM_BLOB, sb_blob_name(digest).text);
    need(walk->needs, find_origin(walk->inventory, digest));
    size_t before = walk->needs->n;
    need(walk->needs, item);
    if (walk->needs->n == before || !walk->ok)
        return; /* not here, or seen already */
    sb_autojson json_t *value = read_document(walk, item, digest, kind);
    if (kind == SB_MEDIA_KIND_CONFIG)
        walk_config(walk, value);
    else
        walk_json(walk, value);
}

static void walk_blob(struct walk *walk, const struct sb_digest *digest, enum sb_media_kind kind) {
    walk_one(walk, digest, kind);
    while (walk->todo_count > 0) {
        struct reference next = walk->todo[--walk->todo_count];
        walk_one(walk, &next.digest, next.kind);
        if (walk->ok && sb_interrupt_check(walk->err) < 0)
            walk->ok = false;
    }
}

static struct sb_reached *find_or_add(struct sb_reached_list *list,
                                      const struct sb_digest *digest) {
    for (size_t i = 0; i < list->n; i++)
        if (sb_digest_equal(&list->v[i].digest, digest))
            return &list->v[i];
    SB_GROW(list->v, list->n, list->cap);
    list->v[list->n] = (struct sb_reached){.digest = *digest};
    return &list->v[list->n++];
}

static int reach_entry(struct walk *walk, json_t *entry, struct sb_reached_list *out) {
    const char *name = sb_index_name(entry), *text = sb_json_string(entry, "digest", "");
    struct sb_digest digest;
    if (sb_digest_parse(text, &digest, NULL) < 0)
        return 0; /* of another algorithm: its blobs are in another directory, and stay */
    struct sb_reached *reached = find_or_add(out, &digest);
    sb_strings_add(&reached->names, name ? name : text);
    walk->needs = &reached->needs;
    walk_blob(walk, &digest, sb_media_kind(sb_json_string(entry, "mediaType", "")));
    reached->manifest =
        sb_inventory_find(walk->inventory, SB_ITEM_BLOB, sb_blob_name(&digest).text);
    if (walk->ok)
        return 0;
    if (sb_interrupt_signal())
        return -1;
    return sb_error_hint(walk->err, "remove the tag %s, or build or pull that image again",
                         name ? name : text);
}

int sb_reach_images(struct sb_store *store, const json_t *index,
                    const struct sb_inventory *inventory, struct sb_reached_list *out,
                    struct sb_error *err) {
    *out = (struct sb_reached_list){0};
    struct walk walk = {.store = store, .inventory = inventory, .ok = true, .err = err};
    size_t i;
    json_t *entry;
    int failed = 0;
    json_array_foreach (json_object_get(index, "manifests"), i, entry) {
        if (!failed)
            failed = reach_entry(&walk, entry, out);
    }
    if (failed)
        sb_reached_list_free(out);
    free(walk.todo);
    return failed;
}

void sb_reached_list_free(struct sb_reached_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        sb_strings_free(&list->v[i].names);
        free(list->v[i].needs.v);
    }
    free(list->v);
    *list = (struct sb_reached_list){0};
}

/* ---- records ---- */

/* Of what is copied; key is a record's, or a step in it. */
static void need_listing(const struct sb_inventory *inventory, struct sb_needs *needs,
                         const json_t *key) {
    struct sb_digest digest;
    if (sb_digest_parse(sb_json_string(key, "content", ""), &digest, NULL) < 0)
        return;
    sb_autofree char *listing = sb_format("sbuild/listings/%s", sb_digest_hex(&digest).text);
    need(needs, sb_inventory_find(inventory, SB_ITEM_LISTING, listing));
}

static void need_blob(const struct sb_inventory *inventory, struct sb_needs *needs,
                      const struct sb_digest *digest) {
    need(needs, sb_inventory_find(inventory, SB_ITEM_BLOB, sb_blob_name(digest).text));
    need(needs, find_origin(inventory, digest));
}

static bool is_there(const struct sb_inventory *inventory, const struct sb_digest *digest) {
    return sb_inventory_find(inventory, SB_ITEM_BLOB, sb_blob_name(digest).text) ||
           find_origin(inventory, digest);
}

/* False when a part can't be had: then nobody can use the others by this record. */
static bool reach_parts(const struct sb_inventory *inventory, struct sb_item *record,
                        const json_t *value) {
    struct sb_digest digest;
    const json_t *part;
    size_t i = 0;
    for (; (part = sb_json_nth(value, "parts", "layer", i)); i++)
        if (sb_digest_parse(sb_json_string(part, "digest", ""), &digest, NULL) < 0 ||
            !is_there(inventory, &digest))
            return false;
    for (i = 0; (part = sb_json_nth(value, "parts", "layer", i)); i++) {
        sb_digest_parse(sb_json_string(part, "digest", ""), &digest, NULL);
        need_blob(inventory, &record->needs, &digest);
        need_diff_id(inventory, &record->needs, sb_json_string(part, "diff_id", NULL));
    }
    return i > 0;
}

static void reach_tables(const struct sb_inventory *inventory, struct sb_item *record,
                         const json_t *origin) {
    struct sb_digest digest;
    const json_t *table;
    for (size_t i = 0; (table = sb_json_nth(origin, "tables", "contents", i)); i++)
        if (sb_digest_parse(sb_json_string(table, "digest", ""), &digest, NULL) == 0)
            need(&record->needs,
                 sb_inventory_find(inventory, SB_ITEM_BLOB, sb_blob_name(&digest).text));
}

static void reach_record(struct sb_store *store, const struct sb_inventory *inventory,
                         struct sb_item *record) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(store->fd, record->path, RECORD_LIMIT, &text, NULL) < 0)
        return;
    sb_autojson json_t *value = sb_json_parse(sb_buf_text(&text), text.len, NULL);
    if (!reach_parts(inventory, record, value))
        return;
    reach_tables(inventory, record, json_object_get(value, "origin"));
    const json_t *key = json_object_get(value, "key"), *steps = json_object_get(key, "steps");
    need_listing(inventory, &record->needs, key);
    for (size_t i = 0; i < json_array_size(steps); i++)
        need_listing(inventory, &record->needs, json_array_get(steps, i));
}

void sb_reach_records(struct sb_store *store, const struct sb_inventory *inventory) {
    for (size_t i = 0; i < inventory->n; i++)
        if (inventory->v[i].kind == SB_ITEM_RECORD)
            reach_record(store, inventory, &inventory->v[i]);
}
