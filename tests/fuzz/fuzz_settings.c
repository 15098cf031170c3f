/* Any bytes as a project's settings and as the user's: refused with file and line, or read. */
#include <sys/stat.h>

#include "document/settings.h"
#include "tests/fuzz/fuzz.h"

static void start(void) {
    sb_autofree char *directory = sb_format("%s/sbuild", fuzz_directory());
    setenv("XDG_CONFIG_HOME", fuzz_directory(), 1);
    FUZZ_CHECK(mkdir(directory, 0755) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool started;
    if (!started)
        start();
    started = true;
    struct fuzz_parts parts = fuzz_parts(data, size);
    size_t len, rest_len;
    sb_autofree char *project = fuzz_next(&parts, &len);
    const char *rest = fuzz_rest(&parts, &rest_len);
    free(fuzz_directory_file("sbuild.yaml", project, len));
    free(fuzz_directory_file("sbuild/config.yaml", rest, rest_len));
    struct sb_settings settings;
    struct sb_error err = {0};
    sb_autofree char *recipe = sb_format("%s/r.yaml", fuzz_directory());
    if (sb_settings_load(recipe, &settings, &err) < 0) {
        fuzz_check_error(&err);
        return 0;
    }
    struct sb_registry_options options;
    sb_settings_registry(&settings, &options);
    for (size_t i = 0; i < settings.registries.n; i++)
        FUZZ_CHECK(settings.registries.v[i].host);
    free(sb_settings_store(&settings, NULL));
    sb_settings_free(&settings);
    return 0;
}
