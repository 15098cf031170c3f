/* Any bytes as what systemctl and journalctl print of a unit: a status, an excerpt. Neither is run.
 */
#include "base/process.h"
#include "deploy/host/systemd.h"
#include "tests/fuzz/fuzz.h"

static struct fuzz_parts parts;

int sb_process_capture(const char *const *argv, const char *cwd, size_t max, struct sb_buf *out,
                       struct sb_buf *diagnostics, struct sb_error *err) {
    size_t len;
    sb_autofree char *text = fuzz_next(&parts, &len);
    (void)argv;
    (void)cwd;
    (void)err;
    if (text[0] == '!' && diagnostics)
        sb_buf_add(diagnostics, text, len);
    else
        sb_buf_add(out, text, len < max ? len : max);
    return text[0] == '!';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sb_unit_status status;
    struct sb_error err = {0};
    parts = fuzz_parts(data, size);
    if (sb_systemd_status("backend.service", &status, &err) < 0)
        fuzz_check_error(&err);
    FUZZ_CHECK(memchr(status.active, '\0', sizeof status.active) &&
               memchr(status.fragment, '\0', sizeof status.fragment));
    sb_autobuf struct sb_buf journal = {0};
    sb_systemd_journal("backend.service", 1, 5, &journal);
    sb_autofree char *version = fuzz_next(&parts, NULL);
    sb_systemd_parse_version(version);
    return 0;
}
