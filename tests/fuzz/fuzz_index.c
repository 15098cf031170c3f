/* Any bytes as the index.json of a store: read, looked up, and changed. */
#include "layers/store.h"
#include "tests/fuzz/fuzz.h"

static struct sb_store *store;

static void start(void) {
    struct sb_error err = {0};
    FUZZ_CHECK(sb_store_open(fuzz_directory(), &store, &err) == 0);
}

static void look_up(const char *name) {
    struct sb_descriptor found;
    struct sb_error err = {0};
    if (sb_store_resolve(store, name, &found, &err) < 0)
        fuzz_check_error(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!store)
        start();
    free(fuzz_directory_file("index.json", data, size));
    struct sb_tagged_list tags = {0};
    struct sb_error err = {0};
    if (sb_store_tags(store, &tags, &err) < 0) {
        fuzz_check_error(&err);
        return 0;
    }
    look_up("app");
    look_up("app:v1");
    look_up("sha256:0123456789");
    for (size_t i = 0; i < tags.n && i < 4; i++)
        look_up(tags.v[i].name);
    sb_autostrings struct sb_strings names = {0};
    if (tags.n > 0) {
        sb_strings_add(&names, tags.v[0].name);
        if (sb_store_untag(store, &names, &err) < 0)
            fuzz_check_error(&err);
    }
    sb_tagged_list_free(&tags);
    return 0;
}
