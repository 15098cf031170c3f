/*
 * Any text as a URL, and where another one leads from it: refused, or http or https with a host,
 * without user and password, the same when it is read again; and what only this machine or its
 * cloud answers is known as such, however it is written.
 */
#include "http/origin.h"
#include "tests/fuzz/fuzz.h"

static void check(CURLU *url) {
    struct sb_error err = {0};
    sb_autofree char *text = sb_url_text(url), *origin = sb_url_origin(url);
    sb_autofree char *authority = sb_url_authority(url);
    FUZZ_CHECK(!strncmp(origin, "https://", 8) == sb_url_is_https(url));
    FUZZ_CHECK(sb_url_is_https(url) || !strncmp(origin, "http://", 7));
    FUZZ_CHECK(!strchr(authority, '@') && !strpbrk(text, "\r\n"));
    sb_autourl CURLU *again = sb_url_parse(text, &err);
    if (!again) {
        fuzz_check_error(&err);
        return;
    }
    sb_autofree char *same = sb_url_origin(again);
    FUZZ_CHECK(!strcmp(same, origin));
    sb_reach_of_text(authority);
    sb_host_is_loopback(authority);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_parts parts = fuzz_parts(data, size);
    sb_autofree char *text = fuzz_next(&parts, NULL);
    sb_autofree char *location = fuzz_next(&parts, NULL);
    struct sb_error err = {0};
    sb_autourl CURLU *url = sb_url_parse(text, &err);
    sb_reach_of_text(text);
    if (!url) {
        fuzz_check_error(&err);
        return 0;
    }
    check(url);
    sb_autourl CURLU *next = sb_url_resolve(url, location, &err);
    if (next)
        check(next);
    else
        fuzz_check_error(&err);
    return 0;
}
