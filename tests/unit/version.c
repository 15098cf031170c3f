/* builder/tags: semantic versions and the tags they give. (git: tests/golden/tags-git.) */
#include "base/memory.h"
#include "builder/tags.h"
#include "tests/unit/test.h"

static void test_parse(void) {
    static const char *const good[] = {"1.2.3",
                                       "v0.0.0",
                                       "1.0.0-alpha",
                                       "1.0.0-0.3.7",
                                       "1.0.0-x-y-z.--",
                                       "1.0.0+20130313144700",
                                       "1.0.0-beta+exp.sha.5114f85"};
    static const char *const bad[] = {
        "",           "1",       "1.2",     "1.2.3.4",
        "01.2.3",     "1.02.3",  "1.2.3-",  "1.2.3-01",
        "1.2.3-a..b", "1.2.3+",  "a.b.c",   "1.2.3 ",
        "1.2.-3",     "vv1.2.3", "1.2.3-é", "99999999999999999999.0.0"};
    struct sb_semver v;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(sb_semver_parse(good[i], &v));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!sb_semver_parse(bad[i], &v));
}

static void test_precedence(void) {
    static const char *const sorted[] = {
        "0.9.9",      "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
        "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
        "1.0.0",      "1.0.1",        "1.2.0",         "1.10.0",
        "2.0.0"};
    enum { N = sizeof sorted / sizeof *sorted };
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            struct sb_semver a, b;
            CHECK(sb_semver_parse(sorted[i], &a) && sb_semver_parse(sorted[j], &b));
            int order = sb_semver_compare(&a, &b);
            CHECK_INT((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

static void check_tags(const char *version, const char *existing, const char *expected) {
    sb_autostrings struct sb_strings have = {0};
    sb_autostrings struct sb_strings tags = {0};
    sb_autofree char *copy = sb_strdup(existing);
    char *rest = copy;
    for (char *one; (one = strsep(&rest, " "));)
        sb_strings_add(&have, one);
    struct sb_semver v;
    CHECK(sb_semver_parse(version, &v));
    sb_tags_semver(&v, &have, &tags);
    sb_autobuf struct sb_buf out = {0};
    for (size_t i = 0; i < tags.n; i++)
        sb_buf_addf(&out, "%s%s", i ? " " : "", tags.v[i]);
    CHECK_STR(sb_buf_text(&out), expected);
}

static void test_floating(void) {
    check_tags("1.2.3", "", "v1.2.3 v1.2 v1 latest");
    check_tags("1.2.3", "v1.2.3 v1.2 v1 latest", "v1.2.3 v1.2 v1 latest");
    check_tags("1.2.4", "v1.2.3 v1.3.0", "v1.2.4 v1.2");
    check_tags("1.2.3", "v1.2.4", "v1.2.3");
    check_tags("1.9.0", "v2.0.0", "v1.9.0 v1.9 v1");
    check_tags("1.10.0", "v1.9.0", "v1.10.0 v1.10 v1 latest");
    check_tags("2.0.0-rc.1", "", "v2.0.0-rc.1");
    check_tags("1.3.0", "v2.0.0-rc.1", "v1.3.0 v1.3 v1 latest");
    check_tags("1.0.0+build.5", "", "v1.0.0_build.5 v1.0 v1 latest");
    check_tags("1.0.0", "main latest 9.9.9 vx", "v1.0.0 v1.0 v1 latest");
}

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
    test_parse();
    test_precedence();
    test_floating();
    test_names();
    test_git_names();
    test_dates();
    return test_done();
}
