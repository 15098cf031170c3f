#include "builder/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/memory.h"
#include "builder/explain.h"
#include "layers/origin.h"

enum { RECORD_LIMIT = 4 << 20, LISTING_LIMIT = 256 << 20 };

void sb_cache_key_free(struct sb_cache_key *key) {
    json_decref(key->json);
    *key = (struct sb_cache_key){0};
}

/* Paths relative to STORE/sbuild. */
static char *record_path(const struct sb_digest *key) {
    return sb_format("records/%s", sb_digest_hex(key).text);
}

static char *last_path(const struct sb_cache_owner *owner) {
    sb_autofree char *name = sb_format("%s\n%s", owner->recipe, owner->layer);
    struct sb_digest d = sb_digest_of(name, strlen(name));
    return sb_format("last/%.32s", sb_digest_hex(&d).text);
}

static json_t *load_record(struct sb_store *store, const struct sb_digest *key) {
    sb_autofree char *path = record_path(key);
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(sb_store_private_fd(store), path, RECORD_LIMIT, &text, NULL) < 0)
        return NULL;
    return sb_json_parse(sb_buf_text(&text), text.len, NULL);
}

static const char *media_type_of(const char *text) {
    static const char *const known[] = {SB_MEDIA_LAYER_ZSTD, SB_MEDIA_LAYER_GZIP,
                                        SB_MEDIA_LAYER_TAR};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(text, known[i]))
            return known[i];
    return NULL;
}

static bool read_part(const json_t *part, struct sb_layer *out) {
    *out = (struct sb_layer){0};
    out->descriptor.media_type = media_type_of(sb_json_string(part, "media_type", ""));
    out->descriptor.size = (uint64_t)sb_json_integer(part, "size", 0);
    out->tar_size = (uint64_t)sb_json_integer(part, "tar_size", 0);
    return out->descriptor.media_type &&
           sb_digest_parse(sb_json_string(part, "digest", ""), &out->descriptor.digest, NULL) ==
               0 &&
           sb_digest_parse(sb_json_string(part, "diff_id", ""), &out->diff_id, NULL) == 0;
}

/* All or none. Version 1 had one of each. */
static bool read_parts(const json_t *record, struct sb_parts *out) {
    const json_t *item;
    struct sb_layer part;
    for (size_t i = 0; (item = sb_json_nth(record, "parts", "layer", i)); i++) {
        if (i == SB_PARTS_LIMIT || !read_part(item, &part)) {
            sb_parts_free(out);
            return false;
        }
        sb_parts_add(out, &part);
    }
    return out->n > 0;
}

static bool are_known(struct sb_store *store, const struct sb_parts *parts) {
    bool known = true;
    for (size_t i = 0; known && i < parts->n; i++)
        known = sb_blob_known(store, &parts->v[i].descriptor.digest, parts->v[i].descriptor.size);
    return known;
}

static void mark_used(struct sb_store *store, const char *kind, const char *name) {
    sb_autofree char *path = sb_format("sbuild/%s/%s", kind, name);
    sb_store_use(store, path, NULL);
}

static bool is_rejected(const json_t *record) {
    return json_is_true(json_object_get(record, "rejected"));
}

/* The collector's lock is held. */
static bool use(struct sb_store *store, const struct sb_digest *key, const struct sb_parts *parts) {
    if (!are_known(store, parts))
        return false;
    mark_used(store, "records", sb_digest_hex(key).text);
    for (size_t i = 0; i < parts->n; i++) {
        mark_used(store, "contents", sb_digest_hex(&parts->v[i].diff_id).text);
        mark_used(store, "trees", sb_digest_hex(&parts->v[i].diff_id).text);
    }
    return true;
}

bool sb_cache_use(struct sb_store *store, const struct sb_digest *key,
                  const struct sb_parts *parts) {
    if (sb_store_hold(store, NULL) < 0)
        return false;
    bool used = use(store, key, parts);
    sb_store_release(store);
    return used;
}

bool sb_cache_find(struct sb_store *store, const struct sb_cache_key *key,
                   struct sb_cache_found *out) {
    *out = (struct sb_cache_found){0};
    if (sb_store_hold(store, NULL) < 0)
        return false;
    sb_autojson json_t *record = load_record(store, &key->digest);
    bool found = record && !is_rejected(record) && read_parts(record, &out->parts) &&
                 use(store, &key->digest, &out->parts);
    if (!found)
        sb_parts_free(&out->parts);
    sb_store_release(store);
    return found;
}

bool sb_cache_find_last(struct sb_store *store, const struct sb_cache_owner *owner,
                        struct sb_cache_found *out) {
    *out = (struct sb_cache_found){0};
    sb_autofree char *path = last_path(owner);
    sb_autobuf struct sb_buf hex = {0};
    struct sb_cache_key last = {0};
    return sb_file_read(sb_store_private_fd(store), path, 256, &hex, NULL) == 0 &&
           sb_digest_parse_hex(sb_buf_text(&hex), &last.digest) && sb_cache_find(store, &last, out);
}

static int make_directory(struct sb_store *store, const char *name, struct sb_error *err) {
    if (mkdirat(sb_store_private_fd(store), name, 0755) < 0 && errno != EEXIST)
        return sb_fail_errno(err, SB_E_IO, "%s/sbuild/%s", sb_store_path(store), name);
    return 0;
}

/* The key that was there, in hexadecimal; its length, or 0. One that is the same counts as used. */
static size_t read_last(struct sb_store *store, const char *path, const char *same, char out[80]) {
    enum { AN_HOUR = 3600 };
    sb_autoclose int fd =
        openat(sb_store_private_fd(store), path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    ssize_t n = fd < 0 ? 0 : read(fd, out, 79);
    out[n > 0 ? n : 0] = '\0';
    if (n > 0 && !strcmp(out, same) && fstat(fd, &st) == 0 && st.st_mtime < time(NULL) - AN_HOUR)
        futimens(fd, NULL);
    return n > 0 ? (size_t)n : 0;
}

void sb_cache_remember(struct sb_store *store, const struct sb_cache_key *key,
                       const struct sb_cache_owner *owner) {
    sb_autofree char *path = last_path(owner);
    struct sb_digest_hex hex = sb_digest_hex(&key->digest);
    char old[80];
    size_t old_len = read_last(store, path, hex.text, old);
    if (!strcmp(old, hex.text))
        return;
    /* A torn or missing pointer only costs an explanation: no fsync, and one that is there is
     * written over, as a file system may send to the disk at once what replaces a file. */
    sb_autoclose int there = old_len == strlen(hex.text) ? openat(sb_store_private_fd(store), path,
                                                                  O_WRONLY | O_NOFOLLOW | O_CLOEXEC)
                                                         : -1;
    if (there >= 0 && pwrite(there, hex.text, old_len, 0) == (ssize_t)old_len)
        return;
    sb_autoclose int dir =
        openat(sb_store_private_fd(store), "last", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0)
        sb_file_publish(dir, dir, path + strlen("last/"), hex.text, strlen(hex.text), NULL);
}

static int put_listing(struct sb_store *store, const char *listing, size_t len,
                       struct sb_error *err) {
    struct sb_digest d = sb_digest_of(listing, len);
    sb_autofree char *path = sb_format("listings/%s", sb_digest_hex(&d).text);
    if (sb_path_exists(sb_store_private_fd(store), path))
        return 0;
    sb_autoclose int dir = sb_directory_open(sb_store_private_fd(store), "listings", err);
    if (dir < 0 || sb_file_publish(dir, dir, path + strlen("listings/"), listing, len, err) < 0)
        return sb_error_context(err, "%s/sbuild", sb_store_path(store));
    return 0;
}

static int write_record(struct sb_store *store, const struct sb_digest *key, const json_t *record,
                        struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(record, &text);
    sb_autofree char *path = record_path(key);
    if (sb_file_replace(sb_store_private_fd(store), path, sb_buf_text(&text), text.len, 0644, err) <
        0)
        return sb_error_context(err, "writing a cache record");
    return 0;
}

static json_t *parts_json(const struct sb_parts *parts) {
    json_t *all = json_array();
    for (size_t i = 0; i < parts->n; i++) {
        const struct sb_layer *part = &parts->v[i];
        const struct sb_descriptor *blob = &part->descriptor;
        json_array_append_new(
            all,
            json_pack("{s:s, s:s, s:I, s:s, s:I}", "media_type", blob->media_type, "digest",
                      sb_digest_text(&blob->digest).text, "size", (json_int_t)blob->size, "diff_id",
                      sb_digest_text(&part->diff_id).text, "tar_size", (json_int_t)part->tar_size));
    }
    return all;
}

/* Where a record came from, when it was not built here. */
static void add_origin(const struct sb_cache_facts *facts, json_t *record) {
    json_t *origin = json_pack("{s:s}", "repository", facts->repository), *tables = json_array();
    for (size_t i = 0; facts->contents && i < facts->parts->n; i++)
        json_array_append_new(tables, json_pack("{s:s, s:I}", "digest",
                                                sb_digest_text(&facts->contents[i].digest).text,
                                                "size", (json_int_t)facts->contents[i].size));
    json_object_set_new(origin, "tables", tables);
    json_object_set_new(record, "origin", origin);
    if (facts->shared)
        json_object_set_new(record, "shared",
                            json_pack("{s:I}", facts->repository, (json_int_t)time(NULL)));
}

int sb_cache_put(struct sb_store *store, const struct sb_cache_key *key,
                 const struct sb_cache_owner *owner, const struct sb_cache_facts *facts,
                 struct sb_error *err) {
    if (make_directory(store, "records", err) < 0 || make_directory(store, "last", err) < 0 ||
        make_directory(store, "listings", err) < 0)
        return -1;
    for (size_t i = 0; facts->copies && i < facts->copies->n; i++) {
        const struct sb_buf *listing = &facts->copies->v[i].listing;
        if (listing->len && put_listing(store, listing->data, listing->len, err) < 0)
            return -1;
    }
    sb_autojson json_t *record =
        json_pack("{s:i, s:O, s:o, s:o, s:f, s:o}", "version", 2, "key", key->json, "recipe",
                  sb_json_from_bytes(owner ? owner->recipe : ""), "name",
                  sb_json_from_bytes(owner ? owner->layer : ""), "seconds", facts->seconds, "parts",
                  parts_json(facts->parts));
    if (facts->repository)
        add_origin(facts, record);
    if (write_record(store, &key->digest, record, err) < 0)
        return -1;
    if (owner)
        sb_cache_remember(store, key, owner);
    return 0;
}

/* ---- records that are shared ---- */

bool sb_cache_key_is_shareable(const struct sb_cache_key *key) {
    size_t i;
    json_t *step;
    json_array_foreach (json_object_get(key->json, "steps"), i, step) {
        if (json_object_get(step, "secrets"))
            return false;
    }
    return true;
}

bool sb_cache_contents(struct sb_store *store, const struct sb_cache_key *key, size_t parts,
                       struct sb_descriptor **out_contents, char **out_repository) {
    sb_autojson json_t *record = load_record(store, &key->digest);
    const json_t *origin = json_object_get(record, "origin");
    const char *repository = sb_json_string(origin, "repository", NULL);
    sb_autofree struct sb_descriptor *tables = sb_alloc((parts + 1) * sizeof *tables);
    bool known = repository != NULL;
    for (size_t i = 0; known && i < parts; i++) {
        const json_t *table = sb_json_nth(origin, "tables", "contents", i);
        tables[i].size = (uint64_t)sb_json_integer(table, "size", 0);
        known = tables[i].size > 0 &&
                sb_digest_parse(sb_json_string(table, "digest", ""), &tables[i].digest, NULL) == 0;
    }
    *out_contents = known ? sb_steal(tables) : NULL;
    *out_repository = known ? sb_strdup(repository) : NULL;
    return known;
}

int64_t sb_cache_shared_at(struct sb_store *store, const struct sb_cache_key *key,
                           const char *repository) {
    sb_autojson json_t *record = load_record(store, &key->digest);
    return sb_json_integer(json_object_get(record, "shared"), repository, 0);
}

void sb_cache_mark_shared(struct sb_store *store, const struct sb_cache_key *key,
                          const char *repository) {
    sb_autojson json_t *record = load_record(store, &key->digest);
    if (!record)
        return;
    json_t *shared = json_object_get(record, "shared");
    if (!json_is_object(shared)) {
        shared = json_object();
        json_object_set_new(record, "shared", shared);
    }
    json_object_set_new(shared, repository, json_integer((json_int_t)time(NULL)));
    write_record(store, &key->digest, record, NULL); /* or it is asked again */
}

bool sb_cache_reject(struct sb_store *store, const struct sb_digest *key) {
    sb_autojson json_t *record = load_record(store, key);
    if (!json_object_get(record, "origin"))
        return false;
    json_object_set_new(record, "rejected", json_true());
    return write_record(store, key, record, NULL) == 0;
}

bool sb_cache_is_rejected(struct sb_store *store, const struct sb_cache_key *key) {
    sb_autojson json_t *record = load_record(store, &key->digest);
    return is_rejected(record);
}

bool sb_cache_has_last(struct sb_store *store, const struct sb_cache_owner *owner) {
    sb_autofree char *path = last_path(owner);
    return sb_path_exists(sb_store_private_fd(store), path);
}

/* The listing that "content" names, of a key or of a step in it; empty when it is gone. */
static void load_listing(struct sb_store *store, const json_t *key, struct sb_buf *out) {
    struct sb_digest d;
    if (sb_digest_parse(sb_json_string(key, "content", ""), &d, NULL) < 0)
        return;
    sb_autofree char *path = sb_format("listings/%s", sb_digest_hex(&d).text);
    sb_file_read(sb_store_private_fd(store), path, LISTING_LIMIT, out, NULL);
}

char *sb_cache_explain(struct sb_store *store, const struct sb_cache_key *key,
                       const struct sb_cache_owner *owner, const struct sb_copies *copies) {
    sb_autofree char *path = last_path(owner);
    sb_autobuf struct sb_buf hex = {0};
    struct sb_digest last;
    if (sb_file_read(sb_store_private_fd(store), path, 256, &hex, NULL) < 0 ||
        !sb_digest_parse_hex(sb_buf_text(&hex), &last))
        return sb_strdup("never built here");
    if (sb_digest_equal(&last, &key->digest))
        return sb_strdup("its record or its layer is no longer in the store");
    sb_autojson json_t *record = load_record(store, &last);
    const json_t *old = json_object_get(record, "key");
    if (!json_is_object(old))
        return sb_strdup("its cache record is no longer in the store");
    sb_autobuf struct sb_buf old_listing = {0};
    size_t number = 0;
    const json_t *step = sb_explain_copy_step(old, key->json, &number);
    load_listing(store, step ? step : old, &old_listing);
    return sb_explain_change(old, key->json, sb_buf_text(&old_listing), old_listing.len,
                             number < copies->n ? &copies->v[number].list : NULL);
}

int sb_cache_lock(struct sb_store *store, const struct sb_cache_key *key, void (*waiting)(void *),
                  void *data, struct sb_error *err) {
    sb_autofree char *path = sb_format("keys/%s", sb_digest_hex(&key->digest).text);
    if (make_directory(store, "keys", err) < 0)
        return -1;
    struct sb_error held = {0};
    int lock = sb_lock_try(sb_store_private_fd(store), path, SB_LOCK_EXCLUSIVE, &held);
    if (lock >= 0)
        return lock;
    waiting(data);
    return sb_lock_take(sb_store_private_fd(store), path, SB_LOCK_EXCLUSIVE, err);
}

static int read_or_make_secret_key(struct sb_store *store, struct sb_buf *out,
                                   struct sb_error *err) {
    int dir = sb_store_private_fd(store);
    if (sb_file_read(dir, "secret-key", 64, out, NULL) == 0 && out->len == 32)
        return 0;
    sb_autoclose int lock = sb_lock_take(dir, "secret-key.lock", SB_LOCK_EXCLUSIVE, err);
    if (lock < 0)
        return -1;
    sb_buf_reset(out);
    if (sb_file_read(dir, "secret-key", 64, out, NULL) == 0 && out->len == 32)
        return 0;
    unsigned char bytes[32];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return sb_fail_errno(err, SB_E_IO, "getting random bytes");
    sb_buf_reset(out);
    sb_buf_add(out, bytes, sizeof bytes);
    return sb_file_write(dir, "secret-key", bytes, sizeof bytes, 0600, err);
}

int sb_cache_secret_digest(struct sb_store *store, const void *value, size_t len,
                           struct sb_digest *out, struct sb_error *err) {
    sb_autobuf struct sb_buf key = {0};
    if (read_or_make_secret_key(store, &key, err) < 0)
        return sb_error_context(err, "the store's key for secrets");
    *out = sb_digest_hmac(key.data, key.len, value, len);
    explicit_bzero(key.data, key.len);
    return 0;
}
