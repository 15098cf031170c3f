/*
 * Any bytes as a layer's table of contents that a registry gave, with length and check made right:
 * refused, or every question has an answer that lies within it.
 */
#include <libdeflate.h>

#include "context/base_paths.h"
#include "layers/contents.h"
#include "tests/fuzz/fuzz.h"

enum { HEADER = 72, LENGTH_AT = 8, COUNT_AT = 16, STRINGS_AT = 24, CHECK_AT = 64, RECORD = 40 };

static void put(uint8_t *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* So that what is behind the header is seen at all. */
static void make_right(uint8_t *file, size_t size) {
    uint64_t count = file[COUNT_AT] % 8;
    if (count > (size - HEADER) / RECORD)
        count = (size - HEADER) / RECORD;
    put(file + LENGTH_AT, size, 8);
    put(file + COUNT_AT, count, 8);
    put(file + STRINGS_AT, size - HEADER - count * RECORD, 8);
    uint32_t check = libdeflate_crc32(0, file, CHECK_AT);
    put(file + CHECK_AT, libdeflate_crc32(check, file + HEADER, size - HEADER), 4);
}

static void ask(struct sb_contents *contents) {
    static const char *const paths[] = {"", "a", "a/b", "etc/passwd", "usr/../bin", "\xff"};
    const struct sb_stack stack = {(struct sb_contents *[]){contents, contents}, 2};
    struct sb_entry e;
    size_t bytes = 0;
    for (size_t i = 0; i < sb_contents_count(contents); i++) {
        sb_contents_get(contents, i, &e);
        bytes += strlen(e.path) + (e.link ? strlen(e.link) : 0);
        FUZZ_CHECK(sb_contents_seek(contents, e.path) == i);
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        sb_autofree char *resolved = NULL;
        struct sb_error err = {0};
        sb_stack_find(&stack, paths[i], &e);
        if (sb_stack_resolve(&stack, paths[i], &resolved, &err) < 0)
            fuzz_check_error(&err);
    }
    FUZZ_CHECK(bytes < 1u << 24);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct sb_digest none;
    if (size < HEADER || size > 1 << 16)
        return 0;
    sb_autofree uint8_t *file = sb_alloc(size);
    memcpy(file, data, size);
    if (file[HEADER - 1] == 0)
        make_right(file, size);
    struct sb_contents *contents = NULL;
    struct sb_error err = {0};
    if (sb_contents_open_foreign(fuzz_file(file, size), &none, &contents, &err) < 0) {
        fuzz_check_error(&err);
        return 0;
    }
    ask(contents);
    struct sb_base_paths paths;
    sb_base_paths_scratch(&paths);
    sb_base_paths_add(&paths, contents, NULL);
    sb_base_paths_free(&paths);
    sb_contents_close(contents);
    return 0;
}
