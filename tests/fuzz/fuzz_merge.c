/*
 * Several layers (tests/fuzz/layers.h), seen as one file system in the three ways that need nothing
 * unpacked: merged from the top down, looked up and resolved through their tables of contents, and
 * as what an image's config says of its paths.
 */
#include "context/base_paths.h"
#include "layers/contents.h"
#include "layers/merge.h"
#include "tests/fuzz/layers.h"

/* As the reader of layers would have let it pass. */
static bool is_clean(const char *path) {
    for (;; path++) {
        size_t n = strcspn(path, "/");
        if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && !strncmp(path, "..", 2)))
            return false;
        path += n;
        if (!*path)
            return true;
    }
}

static bool is_usable(const struct made_entry *made) {
    const struct sb_entry *e = &made->entry;
    return is_clean(e->path) && (!S_ISLNK(e->mode) || *e->link) &&
           (!e->hard_link || is_clean(e->link));
}

static void merge(const struct made_layers *layers) {
    struct sb_merge *merge = sb_merge_new();
    for (size_t layer = layers->layers; layer-- > 0;) {
        sb_merge_lower(merge);
        for (size_t i = 0; i < layers->n; i++)
            if (layers->v[i].layer == layer && is_usable(&layers->v[i]))
                sb_merge_visit(merge, &layers->v[i].entry);
    }
    sb_merge_free(merge);
}

static void look_up(const struct made_layers *layers, const struct sb_stack *stack) {
    for (size_t i = 0; i < layers->n; i++) {
        const char *path = layers->v[i].path;
        struct sb_error err = {0};
        struct sb_entry found;
        sb_autofree char *end = NULL, *again = NULL;
        sb_stack_find(stack, path, &found);
        if (sb_stack_resolve(stack, path, &end, &err) < 0) {
            fuzz_check_error(&err);
            continue;
        }
        /* Nothing is left to be followed. */
        FUZZ_CHECK(!*end || is_clean(end));
        FUZZ_CHECK(sb_stack_resolve(stack, end, &again, &err) == 0 && !strcmp(end, again));
    }
}

/* What the config says is read back as the same. */
static void check_paths(struct sb_contents *const *contents, size_t n) {
    struct sb_base_paths paths, again;
    struct sb_error err = {0};
    sb_base_paths_scratch(&paths);
    for (size_t i = 0; i < n; i++)
        sb_base_paths_add(&paths, contents[i], NULL);
    sb_autofree char *text = sb_base_paths_text(&paths);
    json_t *said = json_string(text);
    FUZZ_CHECK(said && sb_base_paths_read(said, &again, &err) == 0);
    sb_autofree char *twice = sb_base_paths_text(&again);
    FUZZ_CHECK(!strcmp(text, twice));
    json_decref(said);
    sb_base_paths_free(&paths);
    sb_base_paths_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct made_layers layers;
    struct sb_contents *contents[LAYERS_MOST];
    made_layers_read(data, size, &layers);
    merge(&layers);
    for (size_t layer = 0; layer < layers.layers; layer++) {
        struct sb_contents_writer *writer = sb_contents_start();
        for (size_t i = 0; i < layers.n; i++)
            if (layers.v[i].layer == layer && is_usable(&layers.v[i]))
                sb_contents_add(writer, &layers.v[i].entry);
        contents[layer] = sb_contents_from_writer(writer);
    }
    const struct sb_stack stack = {contents, layers.layers};
    look_up(&layers, &stack);
    check_paths(contents, layers.layers);
    for (size_t i = 0; i < layers.layers; i++)
        sb_contents_close(contents[i]);
    made_layers_free(&layers);
    return 0;
}
