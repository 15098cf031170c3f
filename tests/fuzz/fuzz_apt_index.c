/* Any bytes as an index of packages that a step left behind, a Release file or a list: what it
 * names are plain names of files. The first byte chooses. */
#include "steps/apt_index.h"
#include "tests/fuzz/fuzz.h"

static bool want_all(void *data, const struct sb_digest *digest) {
    (void)data;
    (void)digest;
    return true;
}

static int take(void *data, const struct sb_digest *digest, const char *name,
                struct sb_error *err) {
    size_t *count = data;
    (void)digest;
    (void)err;
    FUZZ_CHECK(*name && *name != '.' && !strchr(name, '/') && strlen(name) <= 255);
    ++*count;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int dir = -1;
    if (dir < 0)
        dir = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct fuzz_parts parts = fuzz_parts(data, size);
    bool list = fuzz_choose(&parts, 2);
    size_t len, count = 0;
    const char *text = fuzz_rest(&parts, &len);
    const char *name =
        list ? "deb.example.com_main_binary-amd64_Packages" : "deb.example.com_InRelease";
    const struct sb_apt_index index = {&count, want_all, take};
    struct sb_error err = {0};
    free(fuzz_directory_file(name, text, len));
    FUZZ_CHECK((list ? sb_apt_index_packages : sb_apt_index_release)(dir, name, &index, &err) == 0);
    return 0;
}
