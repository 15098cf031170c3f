/* Any bytes as the log that a container runtime leaves: its errors in one line, or none. */
#include "sandbox/container.c"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bundle bundle = {.fd = -1};
    sb_autobuf struct sb_buf errors = {0};
    free(fuzz_directory_file("log", data, size));
    bundle.fd = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    read_errors(&bundle, &errors);
    FUZZ_CHECK(strlen(sb_buf_text(&errors)) == errors.len);
    close(bundle.fd);
    return 0;
}
