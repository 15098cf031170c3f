/* Any bytes as a list of package archives in an image, of both formats: what is rewritten twice is
 * as it was the first time. The first byte chooses. */
#include "steps/apt_sources.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char mirror[] = "http://mirror.example.com/debian/", ubuntu[] = "https://u.example.com";
    static char *words[] = {(char *)"main", (char *)"contrib"};
    const struct sb_settings settings = {.debian_mirror = mirror, .ubuntu_mirror = ubuntu};
    const struct sb_strings components = {words, 2, 2};
    struct fuzz_parts parts = fuzz_parts(data, size);
    unsigned kind = fuzz_choose(&parts, 4);
    sb_autofree char *text = fuzz_next(&parts, NULL);
    sb_autobuf struct sb_buf once = {0}, twice = {0};
    const struct sb_strings *added = kind & 2 ? &components : NULL;
    sb_apt_sources_rewrite(text, kind & 1, &settings, added, &once);
    FUZZ_CHECK(!sb_apt_sources_rewrite(sb_buf_text(&once), kind & 1, &settings, added, &twice));
    FUZZ_CHECK(once.len == twice.len && !strcmp(sb_buf_text(&once), sb_buf_text(&twice)));
    return 0;
}
