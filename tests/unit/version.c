/* builder/tags: names, and the tags of git and dates. (Versions: tests/unit/release.c,
 * image_tags.c) */
#include "base/memory.h"
#include "builder/tags.h"
#include "tests/unit/test.h"

static void check_clean(const char *text, const char *expected) {
    sb_autofree char *clean = sb_tag_clean(text);
    CHECK_STR(clean, expected);
}

static void test_names(void) {
    check_clean("main", "main");
    check_clean("feature/login", "feature-login");
    check_clean("größe#1", "gr-e-1");
    check_clean("-x-", "x");
    check_clean("a..b__c", "a.b_c");
    check_clean("///", "");
    CHECK(sb_tag_is_valid("v1.2.3") && sb_tag_is_valid("_x") && sb_tag_is_valid("A-b.c_d"));
    CHECK(!sb_tag_is_valid("") && !sb_tag_is_valid(".x") && !sb_tag_is_valid("-x") &&
          !sb_tag_is_valid("a/b") && !sb_tag_is_valid("a b") && !sb_tag_is_valid("é"));
    char long_tag[130];
    memset(long_tag, 'a', 129);
    long_tag[129] = '\0';
    CHECK(!sb_tag_is_valid(long_tag));
    long_tag[128] = '\0';
    CHECK(sb_tag_is_valid(long_tag));
}

static void test_git_names(void) {
    struct sb_git git = {.found = true,
                         .commit = "57b556d0123456789012345678901234567890ab",
                         .abbreviated = "57b556d"};
    sb_autostrings struct sb_strings tags = {0};
    memset(git.branch, 'b', 200);
    git.dirty = true;
    sb_tags_git(&git, &tags);
    CHECK_INT(tags.n, 2);
    CHECK_STR(tags.v[0], "57b556d-dirty");
    CHECK_INT(strlen(tags.v[1]), SB_TAG_LIMIT);
    CHECK(sb_tag_is_valid(tags.v[1]));
}

static void test_dates(void) {
    sb_autostrings struct sb_strings tags = {0};
    sb_tags_date(1738247422, &tags);
    CHECK_STR(tags.v[0], "20250130-143022");
    CHECK(sb_tag_is_date("20250130-143022") && !sb_tag_is_date("2025013-0143022") &&
          !sb_tag_is_date("v1.2.3"));
}

int main(void) {
    test_names();
    test_git_names();
    test_dates();
    return test_done();
}
