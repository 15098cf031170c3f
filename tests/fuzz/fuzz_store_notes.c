/*
 * Any bytes as the small files that a store keeps for itself: a cache record, where a blob can be
 * had, what is pinned, which trees share files and how large they are. Whoever wrote them, reading
 * them does no harm. The first byte chooses.
 */
#include <sys/stat.h>

#include "builder/cache.h"
#include "layers/origin.h"
#include "layers/pin.h"
#include "layers/trees.h"
#include "tests/fuzz/fuzz.h"

static struct sb_store *store;
static struct sb_digest id;

static void start(void) {
    struct sb_error err = {0};
    FUZZ_CHECK(sb_store_open(fuzz_directory(), &store, &err) == 0);
    id = sb_digest_of("fuzz", 4);
    sb_autofree char *fs = sb_format("trees/%s/fs", sb_digest_hex(&id).text);
    sb_directory_make(sb_store_private_fd(store), fs, 0755, NULL);
    sb_directory_make(sb_store_private_fd(store), "pins", 0700, NULL);
    sb_directory_make(sb_store_private_fd(store), "origins", 0700, NULL);
    sb_directory_make(sb_store_private_fd(store), "records", 0700, NULL);
}

static void write_note(const char *kind, const char *name, const char *text, size_t len) {
    sb_autofree char *path = sb_format("sbuild/%s%s", kind, name);
    free(fuzz_directory_file(path, text, len));
}

static void record(const char *text, size_t len) {
    const struct sb_cache_key key = {.json = NULL, .digest = id};
    struct sb_cache_found found;
    struct sb_descriptor *contents = NULL;
    char *repository = NULL;
    write_note("records/", sb_digest_hex(&id).text, text, len);
    FUZZ_CHECK(sb_cache_find(store, &key, &found) == (found.parts.n > 0));
    if (sb_cache_contents(store, &key, found.parts.n, &contents, &repository))
        FUZZ_CHECK(repository && contents);
    sb_parts_free(&found.parts);
    free(contents);
    free(repository);
    sb_cache_shared_at(store, &key, "r.example.com/team/app");
    sb_cache_is_rejected(store, &key);
}

static void origins(const char *text, size_t len) {
    sb_autostrings struct sb_strings names = {0};
    write_note("origins/", sb_digest_hex(&id).text, text, len);
    FUZZ_CHECK(sb_blob_origins(store, &id, &names, NULL) == 0 && names.n <= SB_ORIGINS_LIMIT);
    sb_blob_add_origin(store, &id, "r.example.com/team/app", NULL);
}

static void pins(const char *text, size_t len) {
    sb_autostrings struct sb_strings items = {0};
    struct sb_error err = {0};
    write_note("pins/", "x", text, len);
    if (sb_pin_items(store, NULL, &items, &err) < 0)
        fuzz_check_error(&err);
}

static void tree(const char *text, size_t len, const char *size, size_t size_len) {
    sb_autofree char *kind = sb_format("trees/%s/", sb_digest_hex(&id).text);
    const struct sb_digest both[] = {id, id};
    write_note(kind, "family", text, len);
    write_note(kind, "size", size, size_len);
    write_note(kind, "together", size, size_len);
    sb_trees_size(store, both, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!store)
        start();
    struct fuzz_parts parts = fuzz_parts(data, size);
    unsigned what = fuzz_choose(&parts, 4);
    size_t len, rest_len;
    sb_autofree char *text = fuzz_next(&parts, &len);
    const char *rest = fuzz_rest(&parts, &rest_len);
    if (what == 0)
        record(text, len);
    else if (what == 1)
        origins(text, len);
    else if (what == 2)
        pins(text, len);
    else
        tree(text, len, rest, rest_len);
    return 0;
}
