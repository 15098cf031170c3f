/* Any bytes as what a service answers, and as the variables that an operator wrote for it. */
#include "base/loopback.h"
#include "deploy/host/envfile.h"
#include "tests/fuzz/fuzz.h"

/* As they come: what was known of a part of it stays so. */
static void check_status(const char *text, size_t len) {
    int whole = sb_loopback_status(text, len);
    FUZZ_CHECK(whole == -1 || whole == 0 || whole == 101 || (whole >= 200 && whole < 1000));
    int before = sb_loopback_status(text, len / 2);
    FUZZ_CHECK(before == 0 || before == whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sb_error err = {0};
    sb_autofree char *text = sb_strndup((const char *)data, size); /* ends in NUL, as files do */
    check_status(text, size);
    if (sb_envfile_check_text("x.env", text, strlen(text), &err) < 0)
        fuzz_check_error(&err);
    return 0;
}
