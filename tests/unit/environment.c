/* document/environment: variables that name others, and PATH. */
#include "document/environment.h"
#include "base/memory.h"
#include "tests/unit/test.h"

static struct sb_pairs env, args;

/* The value that a template gets, or the error. */
static void check(const char *name, const char *template, const char *expected) {
    struct sb_error err = {0};
    struct sb_pairs one = {0};
    sb_pairs_set(&one, name, template);
    one.v[0].line = 3;
    one.v[0].column = 7;
    int failed = sb_environment_add(&env, &one, &args, NULL, "r.yaml", &err);
    CHECK_STR(failed ? err.message : sb_pairs_get(&env, name), expected);
    sb_pairs_free(&one);
}

static void test_values(void) {
    check("A", "", "");
    check("A", "plain", "plain");
    check("A", "$$", "$");
    check("A", "$$A$$", "$A$");
    check("B", "${A}${A}", "$A$$A$"); /* not looked at again */
    check("A", "x${BASE}y", "xbasey");
    check("BASE", "more:${BASE}", "more:base");
    check("PATH", "/a:${PATH}", "/a:" SB_DEFAULT_PATH);
    check("PATH", "/b:${PATH}", "/b:/a:" SB_DEFAULT_PATH);
    check("C", "${BASES}",
          "r.yaml:3:7: key \"C\": ${BASES} is neither in args, nor a variable of the base or above "
          "(did you mean ${BASE}?)");
    check("C", "${PROT}",
          "r.yaml:3:7: key \"C\": ${PROT} is neither in args, nor a variable of the base or above "
          "(did you mean ${PORT}?)");
    check("C", "${C}",
          "r.yaml:3:7: key \"C\": ${C} is neither in args, nor a variable of the base or above "
          "(leave it out, or write $$ for a dollar sign)");
}

/* Each is twice the one before. */
static void test_size(void) {
    struct sb_error err = {0};
    struct sb_pairs many = {0};
    sb_pairs_set(&many, "V0", "0123456789");
    for (int i = 1; i < 40; i++) {
        sb_autofree char *name = sb_format("V%d", i);
        sb_autofree char *value = sb_format("${V%d}${V%d}", i - 1, i - 1);
        sb_pairs_set(&many, name, value);
    }
    CHECK_INT(sb_environment_add(&env, &many, NULL, NULL, "r.yaml", &err), -1);
    CHECK(strstr(err.message, "more than 4194304 bytes"));
    sb_pairs_free(&many);
}

static void check_path(const char *before, const char *directory, const char *expected) {
    struct sb_pairs own = {0};
    sb_autostrings struct sb_strings list = {0};
    if (before)
        sb_pairs_set(&own, "PATH", before);
    sb_environment_add_path(&own, &list);
    CHECK_STR(sb_pairs_get(&own, "PATH"), before);
    sb_strings_add(&list, directory);
    sb_strings_add(&list, "/two");
    sb_environment_add_path(&own, &list);
    CHECK_STR(sb_pairs_get(&own, "PATH"), expected);
    sb_environment_add_path(&own, &list); /* again changes nothing */
    CHECK_STR(sb_pairs_get(&own, "PATH"), expected);
    sb_pairs_free(&own);
}

/* What a step sees that sees none, or one, of two arguments. */
static void check_seen(const struct sb_pairs *templates, const char *arg, const char *a,
                       const char *b, const char *c, const char *path) {
    struct sb_error err = {0};
    struct sb_pairs own = {0};
    sb_autostrings struct sb_strings seen = {0};
    sb_pairs_set(&own, "A", "base");
    if (arg)
        sb_strings_add(&seen, arg);
    CHECK_INT(sb_environment_add(&own, templates, NULL, &seen, "r.yaml", &err), 0);
    CHECK_STR(sb_pairs_get(&own, "A"), a);
    CHECK_STR(sb_pairs_get(&own, "B"), b);
    CHECK_STR(sb_pairs_get(&own, "C"), c);
    CHECK_STR(sb_pairs_get(&own, "PATH"), path);
    sb_pairs_free(&own);
}

/* A is made of an argument, B of another, C of both by B, D likewise; PATH of none. */
static void test_seen(void) {
    static const struct {
        const char *name, *template, *arg;
    } all[] = {{"A", "1", "ONE"},
               {"B", "2", "TWO"},
               {"C", "$$${B}", "ONE"},
               {"PATH", "/x:${PATH}", NULL},
               {"D", "${A}${C}", NULL}};
    struct sb_pairs templates = {0};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        sb_pairs_set(&templates, all[i].name, all[i].template);
        if (all[i].arg)
            sb_strings_add(&templates.v[i].made_of, all[i].arg);
        sb_environment_inherit(&templates);
    }
    CHECK_INT(templates.v[2].made_of.n, 2);
    CHECK_INT(templates.v[3].made_of.n, 0);
    CHECK_INT(templates.v[4].made_of.n, 2);
    check_seen(&templates, NULL, "base", NULL, NULL, "/x:" SB_DEFAULT_PATH);
    check_seen(&templates, "ONE", "1", NULL, NULL, "/x:" SB_DEFAULT_PATH);
    check_seen(&templates, "TWO", "base", "2", NULL, "/x:" SB_DEFAULT_PATH);
    sb_pairs_free(&templates);
}

/* Those of build: may name those of the image; what is made of the platform is always seen. */
static void test_inherited(void) {
    struct sb_pairs image = {0}, build = {0};
    sb_pairs_set(&image, "A", "1");
    sb_strings_add(&image.v[0].made_of, "ONE");
    sb_pairs_set(&image, "P", "linux/amd64");
    sb_strings_add(&image.v[1].made_of, "PLATFORM");
    sb_pairs_set(&build, "B", "${A}");
    sb_pairs_set(&build, "C", "$${A}"); /* a dollar sign, and a text */
    sb_pairs_set(&build, "D", "${B}${P}");
    sb_environment_inherit_all(&build, &image);
    sb_autostrings struct sb_strings none = {0};
    CHECK_STR(sb_environment_hidden(&build.v[0], &none), "ONE");
    CHECK(!sb_environment_hidden(&build.v[0], NULL));
    CHECK(!sb_environment_hidden(&build.v[1], &none));
    CHECK_STR(sb_environment_hidden(&build.v[2], &none), "ONE");
    CHECK(!sb_environment_hidden(&image.v[1], &none));
    sb_strings_add(&none, "ONE");
    CHECK(!sb_environment_hidden(&build.v[2], &none));
    sb_pairs_free(&image);
    sb_pairs_free(&build);
}

int main(void) {
    sb_pairs_set(&args, "PORT", "1");
    sb_pairs_set(&env, "BASE", "base");
    test_values();
    test_size();
    test_seen();
    test_inherited();
    check_path(NULL, "/one", "/one:/two:" SB_DEFAULT_PATH);
    check_path("/bin:/one:/sbin", "/one", "/one:/two:/bin:/sbin");
    check_path("/bin", "/bin", "/bin:/two");
    check_path("", "/one", "/one:/two");
    sb_pairs_free(&env);
    sb_pairs_free(&args);
    return test_done();
}
