/* Any bytes as what a credential helper prints: credentials, none, or why it failed. */
#include "base/process.h"
#include "http/helper.h"
#include "tests/fuzz/fuzz.h"

static struct fuzz_parts answer;
static int status;

/* Takes the place of the program: it has answered already. */
pid_t sb_process_start(const struct sb_process_options *options, struct sb_error *err) {
    size_t len;
    const char *text = fuzz_rest(&answer, &len);
    (void)err;
    if (len > 60 << 10)
        len = 60 << 10;
    FUZZ_CHECK(write(options->out, text, len) == (ssize_t)len);
    return 1 << 30;
}
int sb_process_wait(pid_t pid, struct sb_error *err) {
    (void)pid;
    (void)err;
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    answer = fuzz_parts(data, size);
    status = (int)fuzz_choose(&answer, 2);
    struct sb_credential found;
    struct sb_error err = {0};
    int got = sb_helper_get("fuzz", "r.example.com", &found, &err);
    if (got < 0)
        fuzz_check_error(&err);
    FUZZ_CHECK((got > 0) == sb_credential_given(&found));
    sb_credential_free(&found);
    return 0;
}
