/* builder/tags: versions, and the tags that an image gets. */
#include "builder/tags.h"

#include <stdlib.h>

#include "base/memory.h"
#include "registry/release.h"
#include "tests/unit/test.h"

static void test_parse(void) {
    struct sb_semver v;
    CHECK(sb_semver_parse("1.2.3", &v) && v.major == 1 && v.minor == 2 && v.patch == 3);
    CHECK_STR(v.prerelease, "");
    CHECK(sb_semver_parse("v0.0.0", &v) && v.major == 0);
    CHECK(sb_semver_parse("1.2.3-rc.1+build.5", &v));
    CHECK_STR(v.prerelease, "rc.1");
    CHECK_STR(v.build, "build.5");
    CHECK(sb_semver_parse("1.2.3+001", &v));
    CHECK_STR(v.build, "001");
    CHECK(sb_semver_parse("1.0.0-x-y-z.--", &v));
    CHECK_STR(v.prerelease, "x-y-z.--");
    CHECK(sb_semver_parse("1.0.0-0a", &v) && sb_semver_parse("1.0.0-0", &v));
    CHECK(sb_semver_parse("1.0.0+a-b", &v));
    CHECK(sb_semver_parse("20250130143022.0.9999999999999999999", &v));
    CHECK(v.major == 20250130143022 && v.patch == 9999999999999999999u);
    static const char *const bad[] = {
        "",           "v",
        "1",          "1.2",
        "1.2.3.4",    "01.2.3",
        "1.02.3",     "1.2.03",
        "1.2.3-",     "1.2.3+",
        "1.2.3-a..b", "1.2.3-a.",
        "1.2.3-01",   "1.2.3-a_b",
        "1.2.3 ",     " 1.2.3",
        "vv1.2.3",    "1.2.x",
        "-1.2.3",     "1.2.3+a+b",
        "1.2.3-a/b",  "1.2.3-\xc3\xa9",
        "1..3",       "1.2.99999999999999999999",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!CHECK(!sb_semver_parse(bad[i], &v)))
            printf("    %s\n", bad[i]);
    char longer[300] = "1.2.3-";
    memset(longer + 6, 'a', sizeof longer - 7);
    CHECK(!sb_semver_parse(longer, &v));
    snprintf(longer, sizeof longer, "1.2.3-%090d1+%090d", 0,
             0); /* each fits, together they don't */
    longer[6] = 'a';
    CHECK(!sb_semver_parse(longer, &v));
}

/* Semantic Versioning 2.0.0, section 11, from low to high. */
static void test_compare(void) {
    static const char *const order[] = {
        "0.9.9",        "1.0.0-0",       "1.0.0-1",          "1.0.0-10",
        "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
        "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",       "1.0.0",
        "1.0.1",        "1.1.0",         "1.10.0",           "2.0.0-rc.1",
        "2.0.0",        "10.0.0",
    };
    size_t n = sizeof order / sizeof *order;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            struct sb_semver a, b;
            CHECK(sb_semver_parse(order[i], &a) && sb_semver_parse(order[k], &b));
            int got = sb_semver_compare(&a, &b);
            if (!CHECK_INT((got > 0) - (got < 0), (i > k) - (i < k)))
                printf("    %s, %s\n", order[i], order[k]);
        }
    }
    struct sb_semver a, b;
    CHECK(sb_semver_parse("1.0.0+a", &a) && sb_semver_parse("1.0.0+b", &b));
    CHECK_INT(sb_semver_compare(&a, &b), 0);
}

/* The tags of a version beside those that exist (separated by spaces), joined by spaces. */
static void check_semver(const char *version, const char *existing, const char *expected) {
    struct sb_semver v;
    sb_autostrings struct sb_strings have = {0}, tags = {0};
    sb_autofree char *copy = sb_strdup(existing);
    char *rest = copy;
    for (char *tag; (tag = strsep(&rest, " "));)
        sb_strings_add(&have, tag);
    CHECK(sb_semver_parse(version, &v));
    const struct sb_release release = {
        .standing = SB_STANDING_GIVEN, .version = v, .floats = SB_FLOATS};
    sb_autoreleasetags struct sb_release_tags decided;
    sb_release_decide(&release, &have, &decided);
    sb_strings_copy(&tags, &decided.set);
    sb_autobuf struct sb_buf text = {0};
    for (size_t i = 0; i < tags.n; i++) {
        sb_buf_addf(&text, "%s%s", i ? " " : "", tags.v[i]);
        CHECK(sb_tag_is_valid(tags.v[i]));
    }
    if (!CHECK_STR(sb_buf_text(&text), expected))
        printf("    %s beside %s\n", version, existing);
}

static void test_semver(void) {
    check_semver("1.2.3", "", "v1.2.3 v1.2 v1 latest");
    check_semver("v1.2.3", "v1.2.2 v1.2 v1 latest main-abc", "v1.2.3 v1.2 v1 latest");
    check_semver("1.2.3", "v1.2.3", "v1.2.3 v1.2 v1 latest"); /* again */
    check_semver("1.2.4", "v1.3.0", "v1.2.4 v1.2");
    check_semver("1.2.4", "v1.3.0 v2.0.0", "v1.2.4 v1.2");
    check_semver("1.3.1", "v1.3.0 v2.0.0", "v1.3.1 v1.3 v1");
    check_semver("1.2.4", "v2.0.0", "v1.2.4 v1.2 v1");
    check_semver("1.2.3", "v1.2.4", "v1.2.3");
    check_semver("1.2.3", "v1.2.10", "v1.2.3"); /* numbers, not text */
    check_semver("1.10.0", "v1.9.0", "v1.10.0 v1.10 v1 latest");
    check_semver("1.2.3", "v1.2.4-rc.1 v2.0.0-beta", "v1.2.3 v1.2 v1 latest"); /* no releases */
    check_semver("1.2.3", "1.2.4 vv9.9.9 v9 v9.9 v9.9.x latest", "v1.2.3 v1.2 v1 latest");
    check_semver("2.0.0-rc.1", "", "v2.0.0-rc.1");
    check_semver("1.2.3+build.7", "", "v1.2.3_build.7 v1.2 v1 latest");
    check_semver("1.2.3-rc.1+b", "", "v1.2.3-rc.1_b");
    check_semver("1.2.3", "v1.3.0_build.1", "v1.2.3 v1.2"); /* that is 1.3.0+build.1 */
    check_semver("0.1.0", "", "v0.1.0 v0.1 v0 latest");
}

static void check_git(struct sb_git git, const char *first, const char *second) {
    sb_autostrings struct sb_strings tags = {0};
    sb_tags_git(&git, &tags);
    CHECK_STR(tags.v[0], first);
    CHECK_INT(tags.n, second ? 2 : 1);
    if (tags.n > 1)
        CHECK_STR(tags.v[1], second);
    for (size_t i = 0; i < tags.n; i++)
        CHECK(sb_tag_is_valid(tags.v[i]));
}

static void test_git(void) {
    struct sb_git git = {.found = true, .abbreviated = "abc123f", .branch = "main"};
    check_git(git, "abc123f", "main-abc123f");
    git.dirty = true;
    check_git(git, "abc123f-dirty", "main-abc123f-dirty");
    strcpy(git.branch, "feature/Größe #1");
    check_git(git, "abc123f-dirty", "feature-Gr-e-1-abc123f-dirty");
    strcpy(git.branch, "-._x");
    check_git(git, "abc123f-dirty", "x-abc123f-dirty");
    strcpy(git.branch, "日本");
    check_git(git, "abc123f-dirty", NULL);
    git.branch[0] = '\0';
    check_git(git, "abc123f-dirty", NULL);

    memset(git.branch, 'b', sizeof git.branch - 1);
    git.branch[sizeof git.branch - 1] = '\0';
    strcpy(git.abbreviated, "abc123f012");
    sb_autostrings struct sb_strings tags = {0};
    sb_tags_git(&git, &tags);
    CHECK_INT(tags.n, 2);
    CHECK_INT(strlen(tags.v[1]), SB_TAG_LIMIT);
    CHECK_STR(tags.v[1] + SB_TAG_LIMIT - 18, "b-abc123f012-dirty");
    CHECK(sb_tag_is_valid(tags.v[1]));
}

static void test_date(void) {
    sb_autostrings struct sb_strings tags = {0};
    setenv("TZ", "America/New_York", 1);
    sb_tags_date(0, &tags);
    sb_tags_date(1738247422, &tags);
    sb_tags_date(INT64_MAX, &tags);
    sb_tags_date(-5, &tags);
    CHECK_STR(tags.v[0], "19700101-000000");
    CHECK_STR(tags.v[1], "20250130-143022");
    CHECK_STR(tags.v[2], "99991231-235959");
    CHECK_STR(tags.v[3], "19700101-000000");
    for (size_t i = 0; i < tags.n; i++)
        CHECK(sb_tag_is_date(tags.v[i]) && sb_tag_is_valid(tags.v[i]));
    CHECK(!sb_tag_is_date("2025013-1430220") && !sb_tag_is_date("20250130_143022"));
    CHECK(!sb_tag_is_date("20250130-14302") && !sb_tag_is_date("v1.2.3") && !sb_tag_is_date(""));
}

static void test_valid(void) {
    char longest[SB_TAG_LIMIT + 2];
    memset(longest, 'x', sizeof longest);
    longest[SB_TAG_LIMIT] = '\0';
    CHECK(sb_tag_is_valid("a") && sb_tag_is_valid("_") && sb_tag_is_valid("v1.2.3_b-c"));
    CHECK(sb_tag_is_valid(longest));
    longest[SB_TAG_LIMIT] = 'x';
    longest[SB_TAG_LIMIT + 1] = '\0';
    CHECK(!sb_tag_is_valid(longest));
    static const char *const bad[] = {"",    ".a",  "-a",       "a/b", "a:b",
                                      "a b", "a+b", "\xc3\xa9", "a\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!sb_tag_is_valid(bad[i]));
    static const char *const clean[][2] = {
        {"main", "main"}, {"a/b", "a-b"}, {"a//b", "a-b"}, {"a.b_c-d", "a.b_c-d"},
        {"..a..", "a"},   {"", ""},       {"///", ""},     {"a+b", "a-b"},
    };
    for (size_t i = 0; i < sizeof clean / sizeof *clean; i++) {
        sb_autofree char *text = sb_tag_clean(clean[i][0]);
        CHECK_STR(text, clean[i][1]);
    }
}

int main(void) {
    test_parse();
    test_compare();
    test_semver();
    test_git();
    test_date();
    test_valid();
    return test_done();
}
