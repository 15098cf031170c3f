/* Any bytes as a lock file: refused with file and line, or the same when its entries are set in
 * another one. */
#include "builder/lockfile.c"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sb_buf text = {0};
    struct sb_error err = {0};
    struct sb_lockfile lock = {.path = sb_strdup("r.lock")}, again = {0};
    sb_buf_reserve(&text, size + 1);
    sb_buf_add(&text, data, size);
    sb_buf_addc(&text, '\0');
    text.len--;
    if (parse(&lock, &text, &err) < 0) {
        fuzz_check_error(&err);
        FUZZ_CHECK(!strncmp(err.message, "r.lock", 6));
    }
    for (size_t i = lock.n; i-- > 0;) {
        FUZZ_CHECK(i == 0 || compare(&lock.v[i - 1], lock.v[i].kind, lock.v[i].name) < 0);
        sb_lockfile_set(&again, lock.v[i].kind, lock.v[i].name, lock.v[i].value);
    }
    for (size_t i = 0; i < lock.n; i++) {
        const char *found = sb_lockfile_find(&again, lock.v[i].kind, lock.v[i].name);
        FUZZ_CHECK(found && !strcmp(found, lock.v[i].value));
    }
    sb_lockfile_free(&lock);
    sb_lockfile_free(&again);
    sb_buf_free(&text);
    return 0;
}
