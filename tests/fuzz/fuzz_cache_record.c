/* Any bytes as a cache record that a registry gave: refused, or a record that prints as itself. */

#include "builder/cache_record.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sb_cache_record record, again;
    struct sb_error err = {0};
    if (sb_cache_record_parse((const char *)data, size, &record, &err) < 0) {
        if (err.code != SB_E_INTEGRITY)
            abort();
        return 0;
    }
    const struct sb_descriptor config = {.media_type = SB_MEDIA_CONFIG, .size = 1};
    sb_autobuf struct sb_buf text = {0};
    sb_cache_record_print(&record, &config, &text);
    if (sb_cache_record_parse(sb_buf_text(&text), text.len, &again, &err) < 0 ||
        !sb_digest_equal(&record.key, &again.key) || record.created != again.created ||
        !sb_parts_equal(&record.parts, &again.parts) ||
        sb_cache_record_size(&record) != sb_cache_record_size(&again))
        abort();
    sb_cache_record_free(&again);
    sb_cache_record_free(&record);
    return 0;
}
