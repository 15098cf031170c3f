/* Any bytes as what an image's config says of its paths: refused, or it is written as it was read,
 * and copies find their way in it. */
#include "context/base_paths.h"
#include "layers/contents.h"
#include "tests/fuzz/fuzz.h"

static void check_same(const struct sb_base_paths *paths) {
    struct sb_base_paths again;
    struct sb_error err = {0};
    sb_autofree char *text = sb_base_paths_text(paths);
    json_t *said = json_string(text);
    FUZZ_CHECK(said && sb_base_paths_read(said, &again, &err) == 0);
    sb_autofree char *twice = sb_base_paths_text(&again);
    FUZZ_CHECK(!strcmp(text, twice));
    json_decref(said);
    sb_base_paths_free(&again);
}

static void look_up(const struct sb_base_paths *paths) {
    static const char *const names[] = {"", "bin/sh", "usr/lib/x", "app/../etc"};
    struct sb_contents *contents = paths->contents;
    const struct sb_stack stack = {&contents, 1};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct sb_error err = {0};
        struct sb_entry found;
        sb_autofree char *end = NULL;
        if (sb_stack_resolve(&stack, names[i], &end, &err) < 0)
            fuzz_check_error(&err);
        else if (!sb_stack_find(&stack, end, &found))
            sb_base_paths_unlisted(paths, end);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *said = json_stringn((const char *)data, size);
    struct sb_base_paths paths;
    struct sb_error err = {0};
    if (said && sb_base_paths_read(said, &paths, &err) == 0) {
        check_same(&paths);
        look_up(&paths);
        sb_base_paths_free(&paths);
    } else if (said) {
        fuzz_check_error(&err);
    }
    json_decref(said);
    return 0;
}
