/*
 * Any text as what git ls-remote answers and complains of: what is taken for the commit of a ref is
 * one that a line says of it, and the one that an annotated tag names before the tag itself.
 */
#include "steps/git_refs.c"
#include "tests/fuzz/fuzz.h"

/* Whether a line says so. */
static bool says(const char *text, const char *commit, const char *name) {
    sb_autofree char *line = sb_format("%s\t%s", commit, name);
    size_t len = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at++)
        if ((at == text || at[-1] == '\n') && (!at[len] || at[len] == '\n'))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const refs[] = {"refs/tags/v1", "refs/heads/main"};
    struct fuzz_parts parts = fuzz_parts(data, size);
    const char *ref = refs[fuzz_choose(&parts, 2)];
    char *text = fuzz_next(&parts, NULL), *cut = sb_strdup(text);
    sb_autofree char *peeled = sb_format("%s^{}", ref);
    char out[65];
    memset(out, 'x', sizeof out);
    if (take_answer(cut, ref, out)) {
        size_t n = strnlen(out, sizeof out);
        FUZZ_CHECK((n == 40 || n == 64) && strspn(out, "0123456789abcdef") == n);
        FUZZ_CHECK(says(text, out, ref) || says(text, out, peeled));
    }
    free(cut);
    free(text);
    return 0;
}
