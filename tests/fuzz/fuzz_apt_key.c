/*
 * Any bytes as the key of an archive: refused with the reason, or a public key that apt reads, by
 * its name's ending. What says that it is private never is one.
 */
#include "steps/apt_repository.c"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sb_buf text = {0};
    struct sb_error err = {0};
    bool armored = false;
    sb_buf_reserve(&text, size);
    sb_buf_add(&text, data, size);
    int failed = check_key("keys/a.asc", &text, &armored, &err);
    bool secret = memmem(data, size, BEGIN_SECRET, strlen(BEGIN_SECRET)) != NULL;
    if (failed) {
        fuzz_check_error(&err);
        FUZZ_CHECK(strstr(err.message, "keys/a.asc") && err.hint[0]);
    } else {
        FUZZ_CHECK(size > 0 && !secret);
        FUZZ_CHECK(armored == (memmem(data, size, BEGIN_PUBLIC, strlen(BEGIN_PUBLIC)) != NULL));
        FUZZ_CHECK(armored || (data[0] & 0x80));
    }
    /* Packets end where their lengths say, and no later than all of it. */
    const unsigned char *at = (const unsigned char *)sb_buf_text(&text), *end = at + text.len;
    for (const unsigned char *before = at; take_packet(&at, end) >= 0; before = at)
        FUZZ_CHECK(at > before && at <= end);
    sb_buf_free(&text);
    return 0;
}
