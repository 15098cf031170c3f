/* registry/release: what may be done with a version, by what is known of it and of what there is.
 */
#include "registry/release.h"

#include "base/memory.h"
#include "tests/unit/test.h"

static struct sb_semver version_of(const char *text) {
    struct sb_semver v;
    CHECK(sb_semver_parse(text, &v));
    return v;
}

static void split(const char *text, struct sb_strings *out) {
    sb_autofree char *copy = sb_strdup(text);
    char *rest = copy;
    for (char *one; (one = strsep(&rest, " "));)
        if (*one)
            sb_strings_add(out, one);
}

static void check_list(const struct sb_strings *list, const char *expected, const char *what) {
    sb_autobuf struct sb_buf out = {0};
    for (size_t i = 0; i < list->n; i++)
        sb_buf_addf(&out, "%s%s", i ? " " : "", list->v[i]);
    if (!CHECK_STR(sb_buf_text(&out), expected))
        printf("    %s\n", what);
}

/* ---- git state x version x tags that there are ---- */

struct row {
    const char *tag;   /* of git; or, with NULL state, the version that was said */
    const char *state; /* "clean", "dirty", "after", "after dirty"; NULL: said */
    const char *there; /* NULL: can't be listed */
    const char *version, *set, *kept, *kept_by;
};
static const struct row rows[] = {
    /* said: whatever git thinks */
    {"1.2.3", NULL, "", "1.2.3", "v1.2.3 v1.2 v1 latest", "", ""},
    {"1.2.3", NULL, "v1.2.3 v1.2 v1 latest", "1.2.3", "v1.2.3 v1.2 v1 latest", "", ""},
    {"1.2.3", NULL, "v1.2.2 v1.2 v1 latest main-abc1234 20250101-000000", "1.2.3",
     "v1.2.3 v1.2 v1 latest", "", ""},
    {"1.2.3", NULL, "v1.2.4", "1.2.3", "v1.2.3", "v1.2 v1 latest", "v1.2.4 v1.2.4 v1.2.4"},
    {"1.2.3", NULL, "v1.3.0", "1.2.3", "v1.2.3 v1.2", "v1 latest", "v1.3.0 v1.3.0"},
    {"1.2.3", NULL, "v2.0.0", "1.2.3", "v1.2.3 v1.2 v1", "latest", "v2.0.0"},
    {"1.2.3", NULL, "v1.2.10 v1.10.0 v10.0.0", "1.2.3", "v1.2.3", "v1.2 v1 latest",
     "v1.2.10 v1.10.0 v10.0.0"},
    {"1.10.0", NULL, "v1.9.0 v1.9.10", "1.10.0", "v1.10.0 v1.10 v1 latest", "", ""},
    {"0.1.0", NULL, "v0.0.9", "0.1.0", "v0.1.0 v0.1 v0 latest", "", ""},
    {"1.2.3", NULL, NULL, "1.2.3", "v1.2.3", "v1.2 v1 latest", "  "},
    /* pre-releases: only themselves, and in nobody's way */
    {"2.0.0-rc.1", NULL, "", "2.0.0-rc.1", "v2.0.0-rc.1", "", ""},
    {"2.0.0-rc.1", NULL, "v1.0.0 latest", "2.0.0-rc.1", "v2.0.0-rc.1", "", ""},
    {"2.0.0-rc.1", NULL, NULL, "2.0.0-rc.1", "v2.0.0-rc.1", "", ""},
    {"1.2.3", NULL, "v1.2.4-rc.1 v2.0.0-beta", "1.2.3", "v1.2.3 v1.2 v1 latest", "", ""},
    /* build metadata: "_" in tags, no precedence */
    {"1.0.0+build.5", NULL, "v1.0.0_build.9", "1.0.0+build.5", "v1.0.0_build.5 v1.0 v1 latest", "",
     ""},
    {"1.0.0", NULL, "v1.0.1_b", "1.0.0", "v1.0.0", "v1.0 v1 latest", "v1.0.1_b v1.0.1_b v1.0.1_b"},
    /* what is no version is in nobody's way */
    {"1.2.3", NULL,
     "9.9.9 v9 v9.9 v9.9.x vv9.9.9 v9.9.9.9 v09.9.9 v9.9.9beta V9.9.9 latest "
     "bundle-v9.9.9 v9.9.9-rc.1_b sha256-00",
     "1.2.3", "v1.2.3 v1.2 v1 latest", "", ""},
    /* git */
    {"v0.5.0", "clean", "", "0.5.0", "v0.5.0 v0.5 v0 latest", "", ""},
    {"v0.5.0", "clean", "v0.6.0", "0.5.0", "v0.5.0 v0.5", "v0 latest", "v0.6.0 v0.6.0"},
    {"v0.5.0", "dirty", "", "0.5.1-dev.0+gabc123f.dirty", "", "", ""},
    {"v0.5.0", "after", "", "0.5.1-dev.3+gabc123f", "", "", ""},
    {"v0.5.0", "after", NULL, "0.5.1-dev.3+gabc123f", "", "", ""},
    {"v0.5.0", "after dirty", "v0.4.0", "0.5.1-dev.3+gabc123f.dirty", "", "", ""},
    {"v1.0.0-rc.1", "clean", "", "1.0.0-rc.1", "v1.0.0-rc.1", "", ""},
    {"v1.0.0-rc.1", "after", "", "1.0.0-rc.1.dev.3+gabc123f", "", "", ""},
    {"v1.0.0-rc.1", "dirty", "", "1.0.0-rc.1.dev.0+gabc123f.dirty", "", "", ""},
    {"v1.0.0+b.5", "clean", "", "1.0.0+b.5", "v1.0.0_b.5 v1.0 v1 latest", "", ""},
    {"v1.0.0+b.5", "after", "", "1.0.1-dev.3+gabc123f", "", "", ""},
};

static void test_table(void) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct sb_release release = {
            .standing = SB_STANDING_GIVEN, .version = version_of(r->tag), .floats = SB_FLOATS};
        if (r->state)
            release = sb_release_of_git(&release.version, strstr(r->state, "after") ? 3 : 0,
                                        strstr(r->state, "dirty") != NULL, "abc123f");
        sb_autostrings struct sb_strings there = {0};
        sb_autoreleasetags struct sb_release_tags tags;
        sb_autofree char *text = sb_semver_text(&release.version);
        split(r->there ? r->there : "", &there);
        sb_release_decide(&release, r->there ? &there : NULL, &tags);
        sb_autofree char *what =
            sb_format("row %zu: %s, %s, beside %s", i, r->tag, r->state ? r->state : "said",
                      r->there ? r->there : "nobody knows");
        if (!CHECK_STR(text, r->version))
            printf("    %s\n", what);
        check_list(&tags.set, r->set, what);
        check_list(&tags.kept, r->kept, what);
        check_list(&tags.kept_by, r->kept_by, what);
        CHECK_INT(sb_release_has_tags(&release), *r->set != '\0');
    }
}

/* A development version lies between the tag that it is after and the next release. */
static void test_between(void) {
    static const char *const tags[] = {"1.2.3", "0.0.0", "1.0.0-rc.1", "1.0.0-alpha", "1.2.3+b"};
    static const char *const next[] = {"1.2.4", "0.0.1", "1.0.0-rc.2", "1.0.0-beta", "1.2.4"};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        struct sb_semver tag = version_of(tags[i]), after = version_of(next[i]);
        struct sb_release first = sb_release_of_git(&tag, 2, false, "abc123f");
        struct sb_release second = sb_release_of_git(&tag, 11, true, "abc123f");
        CHECK(sb_semver_compare(&tag, &first.version) < 0);
        CHECK(sb_semver_compare(&first.version, &second.version) < 0);
        CHECK(sb_semver_compare(&second.version, &after) < 0);
    }
    char longest[130] = "1.0.0-";
    memset(longest + 6, 'a', 95);
    longest[6 + 95] = '\0';
    struct sb_semver tag = version_of(longest);
    struct sb_release r = sb_release_of_git(&tag, 2, false, "abc123f");
    sb_autofree char *text = sb_semver_text(&r.version);
    CHECK(sb_semver_parse(text, &tag));
}

static void test_order(void) {
    static const char *const sorted[] = {
        "1.0.0-alpha", "1.0.0-alpha+b", "1.0.0-alpha.1", "1.0.0-alpha.beta",
        "1.0.0-beta",  "1.0.0-beta.2",  "1.0.0-beta.11", "1.0.0-rc.1",
        "1.0.0",       "1.0.0+2",       "1.0.0+11",      "1.0.0+b",
        "1.0.1",       "1.2.0",         "1.10.0"};
    enum { N = sizeof sorted / sizeof *sorted };
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            struct sb_semver a = version_of(sorted[i]), b = version_of(sorted[j]);
            int order = sb_semver_order(&a, &b);
            CHECK_INT((order > 0) - (order < 0), (i > j) - (i < j));
        }
}

static void check_holder(const char *version, const char *prefix, const char *floating,
                         const char *there, const char *expected) {
    struct sb_release r = {.standing = SB_STANDING_GIVEN,
                           .version = version_of(version),
                           .prefix = prefix,
                           .floats = SB_FLOATS};
    sb_autostrings struct sb_strings list = {0};
    split(there, &list);
    const char *holder = sb_release_holder(&r, floating, &list);
    if (!CHECK_STR(holder ? holder : "", expected))
        printf("    %s of %s among %s\n", floating, version, there);
}

static void test_holder(void) {
    check_holder("1.2.3", NULL, "latest", "v1.2.3 v2.0.0 v3.0.0-rc.1 latest", "v2.0.0");
    check_holder("1.2.3", NULL, "v1", "v1.2.3 v2.0.0 v1.4.0", "v1.4.0");
    check_holder("1.2.3", NULL, "v1.2", "v1.2.3 v2.0.0 v1.4.0", "v1.2.3");
    check_holder("1.2.3", NULL, "v1.3", "v1.3.0", ""); /* not its own */
    check_holder("1.2.3", NULL, "latest", "v1.2.3_a v1.2.3_b v1.2.3", "v1.2.3_b");
    check_holder("1.2.3", NULL, "latest", "", "");
    check_holder("1.2.3", "bundle-", "bundle-latest", "v2.0.0 bundle-v1.9.0", "bundle-v1.9.0");
}

/* A bundle stays behind images that are higher, bundled or not. */
static void test_bundles(void) {
    struct sb_release r = {.standing = SB_STANDING_GIVEN,
                           .version = version_of("1.9.9"),
                           .prefix = "bundle-",
                           .floats = SB_FLOAT_MAJOR | SB_FLOAT_LATEST};
    sb_autostrings struct sb_strings there = {0};
    sb_autoreleasetags struct sb_release_tags tags;
    split("v2.0.0 v1.9.9 bundle-v1.9.8", &there);
    sb_release_decide(&r, &there, &tags);
    check_list(&tags.set, "bundle-v1.9.9 bundle-v1", "a bundle");
    check_list(&tags.kept, "bundle-latest", "a bundle");
    check_list(&tags.kept_by, "v2.0.0", "a bundle");
}

static void check_split(const char *tags, const char *own, const char *floats, const char *rest) {
    static const struct sb_strings nothing;
    sb_autostrings struct sb_strings list = {0}, others = {0};
    sb_autoreleasetags struct sb_release_tags all;
    struct sb_release r;
    split(tags, &list);
    sb_release_split(&list, &r, &others);
    sb_release_decide(&r, &nothing, &all);
    sb_autofree char *expected = sb_format("%s%s%s", own, *floats ? " " : "", floats);
    check_list(&all.set, expected, tags);
    check_list(&others, rest, tags);
}

static void test_split(void) {
    check_split("latest v1.2.3 main-abc v1 v1.2", "v1.2.3", "v1.2 v1 latest", "main-abc");
    check_split("latest v1.2.3", "v1.2.3", "latest", "");
    check_split("latest main", "", "", "latest main");
    check_split("v9 v10", "", "", "v9 v10");
    check_split("v1.2.3 v1.3.0 latest v1.2", "v1.3.0", "latest", "v1.2.3 v1.2");
    check_split("v1.2.3-rc.1 latest", "v1.2.3-rc.1", "", "latest");
    check_split("", "", "", "");
}

int main(void) {
    test_table();
    test_between();
    test_order();
    test_holder();
    test_bundles();
    test_split();
    return test_done();
}
