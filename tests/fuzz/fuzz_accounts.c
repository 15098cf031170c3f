/* Any bytes as an image's passwd or group, in which a number becomes another one: nothing else in
 * it changes. The first byte chooses. */
#include "deploy/host/accounts.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_parts parts = fuzz_parts(data, size);
    bool groups = fuzz_choose(&parts, 2);
    sb_autofree char *table = fuzz_next(&parts, NULL);
    sb_autobuf struct sb_buf out = {0};
    if (sb_accounts_renumber(table, 1000, 1879048192u, groups, &out))
        FUZZ_CHECK(out.len > strlen(table) && strstr(sb_buf_text(&out), ":1879048192:"));
    else
        FUZZ_CHECK(out.len == 0);
    return 0;
}
