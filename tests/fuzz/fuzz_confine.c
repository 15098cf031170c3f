/* Any bytes as what systemctl says a unit is kept from: refused, or filters that can be loaded. */
#include "deploy/host/confine.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sb_autofree char *text = sb_strndup((const char *)data, size);
    struct sb_confine confine;
    struct sb_error err = {0};
    if (sb_confine_parse(text, &confine, &err) < 0) {
        fuzz_check_error(&err);
        return 0;
    }
    FUZZ_CHECK(confine.filter_count <= SB_CONFINE_FILTERS);
    for (size_t i = 0; i < confine.filter_count; i++)
        FUZZ_CHECK(confine.filters[i].len > 0 && confine.filters[i].filter);
    sb_confine_free(&confine);
    return 0;
}
