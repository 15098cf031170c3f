/* Any bytes as a stat cache, with magic, size and check made right: an empty one, or every look-up
 * stays within it. */
#include <libdeflate.h>
#include <sys/stat.h>

#include "context/statcache.h"
#include "tests/fuzz/fuzz.h"

enum { HEADER = 24, CHECK_AT = 8, COUNT_AT = 12, SIZE_AT = 16 };

static void make_right(uint8_t *file, size_t size) {
    uint32_t count = file[COUNT_AT] % 8;
    uint64_t whole = size;
    memcpy(file, "SBSTAT1", 8);
    memcpy(file + COUNT_AT, &count, sizeof count);
    memcpy(file + SIZE_AT, &whole, sizeof whole);
    uint32_t check = libdeflate_crc32(0, file + HEADER, size - HEADER);
    memcpy(file + CHECK_AT, &check, sizeof check);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const paths[] = {"a", "a/b", "a!b", "src/main.py", "\xff", ""};
    static int dir = -1;
    if (dir < 0)
        dir = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autofree uint8_t *file = sb_alloc(size + 1);
    if (size > 0)
        memcpy(file, data, size);
    if (size > HEADER && file[0] != '!')
        make_right(file, size);
    free(fuzz_directory_file("cache", file, size));
    struct sb_statcache *cache = sb_statcache_open(dir, "cache");
    const struct stat st = {.st_size = 1, .st_mode = S_IFREG | 0644};
    size_t cursor = 0;
    struct sb_digest digest = {{0}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        sb_statcache_find(cache, paths[i], &st, &cursor, &digest);
    sb_statcache_add(cache, "a/b", &st, INT64_C(1) << 60, &digest);
    sb_statcache_close(cache);
    return 0;
}
