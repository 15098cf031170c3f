/* Any bytes as the file in which passwords of ECR are kept between processes: a cache that is
 * empty, or one that can be added to. */
#include <sys/stat.h>

#include "http/ecr_cache.h"
#include "http/secret.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct sb_digest key = {{1}};
    static bool started;
    if (!started) {
        sb_autofree char *directory = sb_format("%s/sbuild", fuzz_directory());
        FUZZ_CHECK(mkdir(directory, 0700) == 0 &&
                   setenv("XDG_CACHE_HOME", fuzz_directory(), 1) == 0);
    }
    started = true;
    sb_autofree char *path = fuzz_directory_file("sbuild/ecr-tokens.json", data, size);
    FUZZ_CHECK(chmod(path, 0600) == 0);
    sb_autosecret struct sb_buf before = {0}, after = {0};
    int64_t expires;
    sb_ecr_cache_get(&key, 0, &before, &expires);
    if (size % 8) /* writing takes longer than all the rest */
        return 0;
    sb_ecr_cache_put(&key, "token", INT64_C(1) << 40);
    FUZZ_CHECK(sb_ecr_cache_get(&key, 0, &after, &expires) && !strcmp(after.data, "token"));
    return 0;
}
