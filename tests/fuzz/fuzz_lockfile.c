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
        FUZZ_CHECK(i == 0 || strcmp(lock.v[i - 1].reference, lock.v[i].reference) < 0);
        sb_lockfile_set(&again, lock.v[i].reference, &lock.v[i].digest);
    }
    for (size_t i = 0; i < lock.n; i++) {
        const struct sb_digest *found = sb_lockfile_find(&again, lock.v[i].reference);
        FUZZ_CHECK(found && sb_digest_equal(found, &lock.v[i].digest));
    }
    sb_lockfile_free(&lock);
    sb_lockfile_free(&again);
    sb_buf_free(&text);
    return 0;
}
