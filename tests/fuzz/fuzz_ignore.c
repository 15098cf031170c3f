/* Any bytes as an ignore file and a path, separated by the first NUL. */

#include "builder/ignore.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *nul = size ? memchr(text, '\0', size) : NULL;
    size_t len = nul ? (size_t)(nul - text) : size;
    sb_autofree char *path = nul ? sb_strndup(nul + 1, size - len - 1) : sb_strdup("src/a.c");
    struct sb_ignore *ignore = NULL;
    struct sb_error err = {0};
    if (sb_ignore_parse(text, len, "fuzz", &ignore, &err) < 0) {
        if (err.code != SB_E_RECIPE)
            abort();
        return 0;
    }
    sb_ignore_excluded(ignore, path, false);
    sb_ignore_may_reinclude_below(ignore, path);
    sb_ignore_free(ignore);
    return 0;
}
