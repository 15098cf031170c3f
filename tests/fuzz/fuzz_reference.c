/* Any bytes as the name of an image: what is accepted must be written and read back as the same. */

#include "registry/reference.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sb_autofree char *text = sb_strndup((const char *)data, size);
    struct sb_reference reference, again;
    struct sb_error err = {0};
    if (sb_reference_parse(text, &reference, &err) < 0) {
        if (err.code != SB_E_USAGE || !*err.message)
            abort();
        return 0;
    }
    sb_autofree char *written = sb_reference_text(&reference);
    if (sb_reference_parse(written, &again, &err) < 0)
        abort();
    sb_autofree char *twice = sb_reference_text(&again);
    if (strcmp(written, twice) != 0 || strspn(written, "abcdefghijklmnopqrstuvwxyz"
                                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                       "0123456789._-:/@[]") != strlen(written))
        abort();
    sb_reference_free(&reference);
    sb_reference_free(&again);
    return 0;
}
