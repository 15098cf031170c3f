/* Patterns of .dockerignore: what they match, what a list of them leaves out, and that no pattern
 * takes forever. */
#include "document/ignore.h"

#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "document/pattern.h"
#include "tests/unit/test.h"

/* Whether a list of patterns, one a line, leaves a path out. */
static bool left_out(const char *patterns, const char *path) {
    struct sb_error err = {0};
    struct sb_ignore *ignore = NULL;
    if (sb_ignore_parse(patterns, strlen(patterns), ".dockerignore", &ignore, &err) < 0) {
        printf("    %s\n", err.message);
        CHECK(false);
        return false;
    }
    bool out = sb_ignore_excluded(ignore, path, false);
    sb_ignore_free(ignore);
    return out;
}

static const struct {
    const char *pattern, *path;
    bool match;
} single[] = {
    /* literal */
    {"a", "a", true},
    {"a", "b", false},
    {"a", "a/b/c", true}, /* below a directory that matches */
    {"a", "b/a", false},  /* anchored */
    {"a", "ab", false},
    {"a/b", "a/b", true},
    {"a/b", "a", false},
    {"a.b", "axb", false},
    {"a(b)c+d|e$f{g}", "a(b)c+d|e$f{g}", true},
    /* cleaning */
    {"/a", "a", true},
    {"a/", "a", true},
    {"a/", "a/b", true},
    {"./a", "a", true},
    {"a//b", "a/b", true},
    {"x/../a", "a", true},
    {"  a \t", "a", true},
    {".", "a", false},
    {"/", "a", false},
    {"..", "a", false},
    {"../a", "a", false},
    /* one star, question mark */
    {"*", "a", true},
    {"*", "a/b", true},
    {"*.go", "x.go", true},
    {"*.go", "d/x.go", false},
    {"*.go", "x.gox", false},
    {"*.go", "d.go/x", true},
    {".*", ".foo", true},
    {".*", "foo", false},
    {"a/*.txt", "a/f.txt", true},
    {"a/*.txt", "a/b/f.txt", false},
    {"a/*/c", "a/b/c", true},
    {"a/*/c", "a/b/b/c", false},
    {"*/*", "a", false},
    {"*/*", "a/b", true},
    {"*/*", "a/b/c", true},
    {"a?c", "abc", true},
    {"a?c", "a/c", false},
    {"a?c", "ac", false},
    {"a?c",
     "a\xC3\xA9"
     "c",
     true},
    {"a??c",
     "a\xC3\xA9"
     "c",
     false},
    {"a?c",
     "a\xE9"
     "c",
     true}, /* a byte that is not UTF-8 is one character */
    /* classes */
    {"a[b-d]e", "ace", true},
    {"a[b-d]e", "aae", false},
    {"a[b-d]e", "ae", false},
    {"a[^b-d]e", "aze", true},
    {"a[^b-d]e", "ace", false},
    {"[\xC3\xA4-\xC3\xBC]x", "\xC3\xB6x", true},
    {"a[\\]]b", "a]b", true},
    {"[a-cx]", "x", true},
    {"a]b", "a]b", true},
    /* escapes */
    {"\\*", "*", true},
    {"\\*", "a", false},
    {"a\\\\", "a\\", true},
    {"a\\bc", "abc", true},
    {"\\!a", "!a", true},
    {"\\#a", "#a", true},
    {"\\?", "?", true},
    {"\\?", "x", false},
    /* two stars */
    {"**", "a", true},
    {"**", "a/b", true},
    {"**/", "a/b", true},
    {"**/**", "a/b", true},
    {"a/**", "a", false},
    {"a/**", "a/b", true},
    {"a/**", "a/b/c", true},
    {"a/**", "ab", false},
    {"**/d", "d", true},
    {"**/d", "d/f", true},
    {"**/d", "x/d", true},
    {"**/d", "x/y/d/f", true},
    {"**/d", "x/yd", false},
    {"**/d/*", "x/d/f", true},
    {"**/d/*", "x/d", false},
    {"**/d/**", "x/d/e/f", true},
    {"**/d/**", "x/d", false},
    {"**d", "d", true},
    {"**d", "x/yd", true},
    {"**d", "x/yd/z", true},
    {"**d", "x/dy", false},
    {"**/f*", "x/y/f.txt", true},
    {"**/f*txt", "x/y/f.txt", true},
    {"**/*.txt", "f.txt", true},
    {"**/**/*.txt", "x/y/f.txt", true},
    {"**/**/*.txt2", "x/y/f.txt", false},
    {"a**/*.txt", "a/f.txt", true},
    {"a**/*.txt", "a/x/y/f.txt", true},
    {"a/*.txt**", "a/f.txt", true},
    {"a/**/b", "a/b", true},
    {"a/**/b", "a/x/b", true},
    {"a/**/b", "a/x/y/b/z", true},
    {"a/**/b", "a/xb", false},
    {"a**b", "ab", true},
    {"a**b", "ax/b", true},
    {"a**b", "axb", false}, /* "**" in a name ends in a slash, or is nothing */
    {"a***b", "axb", true},
    {"**/foo/bar", "dir/dir2/foo/bar", true},
    {"**/.foo", "bar.foo", false},
    {"**/a/**/b/**/c", "x/a/b/y/z/c", true},
    {"**/a/**/b/**/c", "x/a/y/z/c", false},
};

static void test_one_pattern(void) {
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (!CHECK_INT(left_out(single[i].pattern, single[i].path), single[i].match))
            printf("    pattern %s, path %s\n", single[i].pattern, single[i].path);
}

static void test_lists(void) {
    CHECK(!left_out("", "a"));
    CHECK(!left_out("#a\n\n  \n", "a"));
    CHECK(!left_out("# a comment\n", "# a comment"));
    CHECK(left_out(" #a\n", "#a")); /* not in the first column */
    CHECK(left_out("a\r\nb\r\n", "b"));
    CHECK(left_out("\xEF\xBB\xBF"
                   "a\n",
                   "a"));
    CHECK(left_out("\xC2\xA0 a\xE3\x80\x80", "a")); /* white space of Unicode */
    CHECK(left_out("x\na", "a"));                   /* without a newline at the end */

    CHECK(!left_out("*.md\n!README.md", "README.md"));
    CHECK(left_out("*.md\n!README.md", "OTHER.md"));
    CHECK(left_out("*.md\n!README*\nREADME-secret.md", "README-secret.md"));
    CHECK(!left_out("*.md\nREADME-secret.md\n!README*", "README-secret.md"));
    CHECK(!left_out("!a", "a"));
    CHECK(!left_out("a\n! a", "a"));
    CHECK(!left_out("a\n!/a/", "a"));
    CHECK(!left_out("a\n!a/b", "a/b"));
    CHECK(left_out("a\n!a/b", "a/c"));
    CHECK(left_out("!a/b\na", "a/b"));
    CHECK(!left_out("**\n!src\n!src/**", "src/x/y"));
    CHECK(left_out("**\n!src/*.c", "src/a.h"));
    CHECK(!left_out("**\n!src/*.c", "src/a.c"));
    CHECK(left_out("**\n!**/keep\nx/keep", "x/keep"));
    CHECK(!left_out("**\n!**/keep\nx/keep", "y/keep/z"));

    /* What Docker (BuildKit) was seen to do: a pattern that has nothing to change at a directory is
     * not remembered for what is below. */
    CHECK(left_out("*b/**\n!*b", "ab/x"));
    CHECK(left_out("**/a\n![a-b]*.c", "a.c/q/a"));
    CHECK(!left_out("a\n!**/a?c\na", "a/a.c/x"));
    CHECK(left_out("a\n!a/b\na/b/c", "a/b/c/d"));
    CHECK(!left_out("a\n!a/b\na/b/c", "a/b/d"));
}

static void test_malformed(void) {
    static const char *const table[] = {"!",   "[",   "[a",    "[]a]", "a[b-]",
                                        "a\\", "[^]", "[z-a]", "[-a]", "[\\"};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct sb_error err = {0};
        struct sb_ignore *ignore = NULL;
        sb_autofree char *text = sb_format("ok\n%s\n", table[i]);
        CHECK_INT(sb_ignore_parse(text, strlen(text), "ctx/.dockerignore", &ignore, &err), -1);
        CHECK_INT(err.code, SB_E_RECIPE);
        if (!CHECK(!strncmp(err.message, "ctx/.dockerignore:2:1: malformed pattern", 40)))
            printf("    %s: %s\n", table[i], err.message);
        CHECK(!sb_ignore_valid(table[i]));
    }
    struct sb_error err = {0};
    struct sb_ignore *ignore = NULL;
    CHECK_INT(sb_ignore_parse("a\0b", 3, "x", &ignore, &err), -1);
    char *many = sb_alloc(SB_PATTERN_LIMIT + 3);
    memset(many, 'a', SB_PATTERN_LIMIT + 2);
    CHECK_INT(sb_ignore_parse(many, SB_PATTERN_LIMIT + 2, "x", &ignore, &err), -1);
    free(many);
    CHECK(sb_ignore_valid("a"));
    CHECK(sb_ignore_valid("!a"));
    CHECK(!sb_ignore_valid(""));
}

static bool may(const char *patterns, const char *directory) {
    struct sb_error err = {0};
    struct sb_ignore *ignore = NULL;
    CHECK_INT(sb_ignore_parse(patterns, strlen(patterns), "x", &ignore, &err), 0);
    bool result = sb_ignore_may_reinclude_below(ignore, directory);
    sb_ignore_free(ignore);
    return result;
}

static void test_reinclude(void) {
    CHECK(!may("a", "a"));
    CHECK(may("a\n!a/b", "a"));
    CHECK(!may("a\n!a", "a")); /* "a" itself is not below */
    CHECK(!may("a\n!b/c", "a"));
    CHECK(may("**\n!a/b/c", "a/b"));
    CHECK(!may("**\n!a/b/c", "a/x"));
    CHECK(!may("**\n!a/b/c", "a/b/c/d"));
    CHECK(may("*\n!**/x", "anything/at/all"));
    CHECK(may("*\n!a*/x", "abc"));
    CHECK(!may("*\n!a*/x", "bc"));
    CHECK(!may("*\n!ab", "a"));
}

/* Every way of matching, tried one after another: slow and obvious. The regular expression's
 * meaning, without classes and escapes. */
static bool slow(const char *p, const char *s) {
    if (!*p)
        return !*s;
    if (p[0] == '*' && p[1] == '*') {
        const char *rest = p + 2 + (p[2] == '/');
        if (!*rest)
            return true;
        if (slow(rest, s))
            return true;
        for (; *s; s++)
            if (*s == '/' && slow(rest, s + 1))
                return true;
        return false;
    }
    if (*p == '*') {
        for (;; s++) {
            if (slow(p + 1, s))
                return true;
            if (!*s || *s == '/')
                return false;
        }
    }
    return *s && (*p == *s || (*p == '?' && *s != '/')) && slow(p + 1, s + 1);
}

static bool slow_or_parent(const char *pattern, const char *path) {
    sb_autofree char *copy = sb_strdup(path);
    /* "**" right before a literal is any end of a path, not only that of a name. */
    bool any_end = !strncmp(pattern, "**", 2) && pattern[2] != '/' && !strpbrk(pattern + 2, "*?");
    for (;;) {
        size_t n = strlen(pattern + any_end * 2), m = strlen(copy);
        if (any_end ? m >= n && !strcmp(copy + m - n, pattern + 2) : slow(pattern, copy))
            return true;
        char *slash = strrchr(copy, '/');
        if (!slash)
            return false;
        *slash = '\0';
    }
}

static unsigned long state = 12345;
static unsigned pick(unsigned n) {
    state = state * 6364136223846793005ul + 1442695040888963407ul;
    return (unsigned)(state >> 33) % n;
}

static void random_text(char *out, const char *letters, unsigned most) {
    unsigned n = 1 + pick(most);
    char last = '/';
    for (unsigned i = 0; i < n; i++) {
        char c = letters[pick((unsigned)strlen(letters))];
        c = (c == '/' && (last == '/' || i + 1 == n)) ? 'a' : c;
        out[i] = last = c;
    }
    out[n] = '\0';
}

/* Against the slow matcher, and a walk that skips directories against one that does not. */
static void test_random(void) {
    for (int i = 0; i < 100000; i++) {
        char pattern[16], path[16];
        random_text(pattern, "ab/**?", 10);
        random_text(path, "aabb/", 12);
        struct sb_pattern *compiled = sb_pattern_compile(pattern, NULL);
        bool expected = slow_or_parent(pattern, path);
        if (!CHECK_INT(sb_pattern_match(compiled, path, strlen(path), true), expected))
            printf("    pattern %s, path %s\n", pattern, path);
        char *slash = strchr(path, '/');
        if (expected && slash && !slow_or_parent(pattern, (*slash = '\0', path)))
            if (!CHECK(sb_pattern_reaches(compiled, path, strlen(path))))
                printf("    pattern %s, directory %s\n", pattern, path);
        sb_pattern_free(compiled);
    }
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- long lists: looked up, with the answers of short ones ---- */

/* The same patterns, with many before them that match nothing. */
static bool left_out_among_many(const char *patterns, const char *path) {
    sb_autobuf struct sb_buf all = {0};
    for (int i = 0; i < 40; i++)
        sb_buf_addf(&all, "%snowhere-%d/x%d*y%d\n", i % 3 ? "" : "!", i, i, i);
    sb_buf_adds(&all, patterns);
    return left_out(sb_buf_text(&all), path);
}

static void test_many(void) {
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (!CHECK_INT(left_out_among_many(single[i].pattern, single[i].path), single[i].match))
            printf("    among many: pattern %s, path %s\n", single[i].pattern, single[i].path);
    for (int i = 0; i < 20000; i++) {
        sb_autobuf struct sb_buf list = {0};
        char path[16], pattern[16];
        random_text(path, "aabb/", 12);
        for (unsigned n = 1 + pick(6); n > 0; n--) {
            random_text(pattern, "ab/**?", 8);
            sb_buf_addf(&list, "%s%s\n", pick(3) ? "" : "!", pattern);
        }
        if (!CHECK_INT(left_out_among_many(list.data, path), left_out(list.data, path)))
            printf("    among many: %s\n    path %s\n", list.data, path);
    }
}

/* Tens of thousands of patterns, and a path that nearly begins as they do. */
static void test_long_list(void) {
    sb_autobuf struct sb_buf list = {0};
    for (int i = 0; i < 60000; i++)
        sb_buf_addf(&list, "%ssrc/%s%d%s\n", i % 2 ? "" : "**/", i % 3 ? "file" : "", i,
                    i % 2 && i % 5 == 0 ? "*.c" : "");
    struct sb_error err = {0};
    struct sb_ignore *ignore = NULL;
    CHECK_INT(sb_ignore_parse(list.data, list.len, "x", &ignore, &err), 0);
    double start = seconds();
    size_t out = 0;
    for (int i = 0; i < 2000; i++) {
        sb_autofree char *path = sb_format("src/file%d/deep/er/name.c", i * 31);
        out += sb_ignore_excluded(ignore, path, false);
    }
    CHECK(out > 500 && out < 1900);
    CHECK(seconds() - start < 1);
    sb_ignore_free(ignore);
}

static bool may_exclude(const char *patterns, const char *directory) {
    struct sb_error err = {0};
    struct sb_ignore *ignore = NULL;
    CHECK_INT(sb_ignore_parse(patterns, strlen(patterns), "x", &ignore, &err), 0);
    bool result = sb_ignore_may_exclude_below(ignore, directory);
    sb_ignore_free(ignore);
    return result;
}

static bool mentions(const char *patterns, const char *name, bool takes_back) {
    struct sb_error err = {0};
    struct sb_ignore *ignore = NULL;
    CHECK_INT(sb_ignore_parse(patterns, strlen(patterns), "x", &ignore, &err), 0);
    bool result = sb_ignore_mentions(ignore, name, takes_back);
    sb_ignore_free(ignore);
    return result;
}

static void test_reach_and_mention(void) {
    CHECK(may_exclude("src/**", "src"));
    CHECK(!may_exclude("src/**", "data"));
    CHECK(!may_exclude("!data/x\nsrc/**", "data"));
    CHECK(may_exclude("**/*.c", "data"));
    CHECK(!may_exclude("src/a/b", "src/ab"));
    CHECK(mentions(".env", ".env", false));
    CHECK(mentions("**/.env", ".env", false));
    CHECK(mentions("conf/.e*", ".env", false));
    CHECK(mentions(".git/HEAD", ".git", false));
    CHECK(!mentions("*", ".env", false));
    CHECK(!mentions(".*", ".env", false));
    CHECK(!mentions(".envrc", ".env", false));
    CHECK(!mentions(".env", ".env", true));
    CHECK(mentions("*\n!.env", ".env", true));
}

static void test_hostile(void) {
    char path[4001];
    memset(path, 'a', 4000);
    path[4000] = '\0';
    for (int i = 50; i < 4000; i += 50)
        path[i] = '/';
    struct sb_buf stars = {0}, doubles = {0};
    for (int i = 0; i < 1000; i++) {
        sb_buf_adds(&stars, "*a");
        sb_buf_adds(&doubles, "**/a/");
    }
    sb_buf_addc(&stars, 'b');
    doubles.len = 4000;
    doubles.data[4000] = '\0';
    double start = seconds();
    CHECK(!left_out(stars.data, path));
    CHECK(!left_out(doubles.data, path));
    CHECK(!left_out("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", path));
    CHECK(!left_out("**/**/*a/**/**/*a/**/**/*a/**/**/b", path));
    CHECK(seconds() - start < 2);
    sb_buf_free(&stars);
    sb_buf_free(&doubles);
}

int main(void) {
    test_one_pattern();
    test_lists();
    test_malformed();
    test_reinclude();
    test_random();
    test_many();
    test_long_list();
    test_reach_and_mention();
    test_hostile();
    return test_done();
}
