/* Any bytes as the keys of a layer's two last builds and the listing of what was copied: something
 * is said of what changed. */
#include "base/json.h"
#include "builder/explain.h"
#include "context/copy.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct sb_copy_entry entries[2];
    struct fuzz_parts parts = fuzz_parts(data, size);
    size_t len, old_len, new_len;
    sb_autofree char *old_text = fuzz_next(&parts, &old_len);
    sb_autofree char *new_text = fuzz_next(&parts, &new_len);
    const char *listing = fuzz_rest(&parts, &len);
    sb_autojson json_t *old_key = sb_json_parse(old_text, old_len, NULL);
    sb_autojson json_t *new_key = sb_json_parse(new_text, new_len, NULL);
    if (!json_is_object(old_key) || !json_is_object(new_key))
        return 0;
    entries[0].path = (char *)"a/b";
    entries[1].path = (char *)"b";
    struct sb_copy_list list = {.v = entries, .n = 2};
    char *whole = sb_strndup(listing, len);
    memcpy(whole, listing, len);
    sb_autofree char *said = sb_explain_change(old_key, new_key, whole, len, &list);
    FUZZ_CHECK(said && *said);
    sb_autofree char *without = sb_explain_change(old_key, new_key, NULL, 0, NULL);
    FUZZ_CHECK(without && *without);
    free(whole);
    return 0;
}
