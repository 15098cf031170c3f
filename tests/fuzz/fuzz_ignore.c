/* Any bytes as an ignore file and a path, separated by the first NUL. A list that is looked up in
 * answers as one that is asked pattern by pattern; nothing is left out below what can't be. */

#include "base/file.h"
#include "document/ignore.h"
#include "tests/fuzz/fuzz.h"

/* The same with patterns before it that match nothing, so that there are many. */
static struct sb_ignore *among_many(const char *text, size_t len) {
    sb_autobuf struct sb_buf all = {0};
    struct sb_ignore *ignore = NULL;
    struct sb_error err = {0};
    for (int i = 0; i < 40; i++)
        sb_buf_addf(&all, "%c%d/\x01*\x02\n", 'a' + i % 3, i);
    if (len >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) {
        text += 3;
        len -= 3;
    }
    sb_buf_add(&all, text, len);
    FUZZ_CHECK(sb_ignore_parse(all.data, all.len, "fuzz", &ignore, &err) == 0);
    return ignore;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *nul = size ? memchr(text, '\0', size) : NULL;
    size_t len = nul ? (size_t)(nul - text) : size;
    sb_autofree char *given = nul ? sb_strndup(nul + 1, size - len - 1) : sb_strdup("src/a.c");
    sb_autofree char *clean = sb_path_clean(given);
    sb_autofree char *path = sb_strdup(clean + strspn(clean, "/"));
    struct sb_ignore *ignore = NULL;
    struct sb_error err = {0};
    if (sb_ignore_parse(text, len, "fuzz", &ignore, &err) < 0) {
        if (err.code != SB_E_RECIPE)
            abort();
        return 0;
    }
    struct sb_ignore *many = among_many(text, len);
    bool out = sb_ignore_excluded(ignore, path, false);
    FUZZ_CHECK(out == sb_ignore_excluded(many, path, false));
    char *slash = strrchr(path, '/');
    if (slash && slash > path) {
        *slash = '\0';
        if (out && !sb_ignore_excluded(ignore, path, true))
            FUZZ_CHECK(sb_ignore_may_exclude_below(ignore, path));
    }
    sb_ignore_may_reinclude_below(ignore, path);
    sb_ignore_mentions(ignore, path, true);
    sb_ignore_free(many);
    sb_ignore_free(ignore);
    return 0;
}
