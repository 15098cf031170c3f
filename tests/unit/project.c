/* document/project: what a recipe may name, and what it may not. */
#include "document/project.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "document/recipe.h"
#include "tests/unit/test.h"

static struct sb_error err;
static char *dir;

static void put(const char *name, const char *text) {
    CHECK_INT(sb_file_write(AT_FDCWD, name, text, strlen(text), 0644, &err), 0);
}

static bool finds_top(const char *directory, const char *top) {
    struct sb_project project;
    sb_autofree char *whole = *top ? sb_format("%s/%s", dir, top) : sb_strdup(dir);
    if (!CHECK_INT(sb_project_find(directory, NULL, &project, &err), 0))
        return false;
    bool same = CHECK_STR(project.top, whole);
    sb_project_free(&project);
    return same;
}

static void test_top(void) {
    CHECK(finds_top("checkout/recipes", "checkout"));
    CHECK(finds_top("checkout/sub/recipes", "checkout/sub"));
    CHECK(finds_top("plain/recipes", "plain/recipes"));
    setenv("HOME", "checkout", 1); /* no absolute path: no home */
    CHECK(finds_top("checkout/recipes", "checkout"));
    sb_autofree char *home = sb_format("%s/checkout", dir);
    setenv("HOME", home, 1);
    CHECK(finds_top("checkout/recipes", "checkout/recipes"));
    CHECK(finds_top("checkout/sub/recipes", "checkout/sub"));
    setenv("HOME", dir, 1);
    if (geteuid() != 0) {
        TEST_SKIP("only root can make another user's file");
        return;
    }
    CHECK_INT(chown("checkout/.git", 12345, 12345), 0); /* left there by a stranger */
    CHECK(finds_top("checkout/recipes", "checkout/recipes"));
    setenv("SUDO_UID", "12345", 1);
    CHECK(finds_top("checkout/recipes", "checkout"));
    unsetenv("SUDO_UID");
    CHECK_INT(chown("checkout/recipes", 12345, 12345), 0); /* or by the author of the recipe … */
    CHECK(finds_top("checkout/recipes", "checkout/recipes"));
    CHECK_INT(chown("checkout", 12345, 12345), 0); /* … whose directory it is */
    CHECK(finds_top("checkout/recipes", "checkout"));
    CHECK_INT(chown("checkout/recipes", 0, 0), 0);
    CHECK(finds_top("checkout/recipes", "checkout/recipes"));
    CHECK_INT(chown("checkout", 0, 0), 0);
    CHECK_INT(chown("checkout/.git", 0, 0), 0);
}

/* 0, or the error's code. */
static int load(const char *path, const char *allowed, const char *trusted) {
    struct sb_strings allow = {0}, trust = {0};
    struct sb_recipe *recipe = NULL;
    if (allowed)
        sb_strings_add(&allow, allowed);
    if (trusted)
        sb_strings_add(&trust, trusted);
    const struct sb_recipe_options options = {.allowed = &allow, .trusted = &trust};
    sb_error_clear(&err);
    int failed = sb_recipe_load(path, &options, &recipe, &err);
    sb_recipe_free(recipe);
    sb_strings_free(&allow);
    sb_strings_free(&trust);
    return failed ? (int)err.code : 0;
}

#define HEAD "name: app\n"

/* The line of a recipe, and the message of it in plain/recipes. */
static void test_named(void) {
    static const struct {
        const char *line, *allowed;
    } refused[] = {
        {"context: /\nfrom: scratch", "/"},
        {"context: ..\nfrom: scratch", "plain"},
        {"context: ../outside\nfrom: scratch", "plain/outside"},
        {"context: link\nfrom: scratch", "plain/outside"},
        {"context: link/../../checkout\nfrom: scratch", NULL},
        {"context: ../missing\nfrom: scratch", NULL},
        {"from: {recipe: ../outside/base.yaml}", "plain/outside"},
        {"from: ../outside/base.yaml", "plain/outside"},
        {"from: link/base.yaml", "plain/outside"},
        {"from: file.yaml", "plain/outside"},
        {"from: {recipe: /etc/passwd}", NULL},
        {"from: {recipe: ../../../../../../../etc/shadow}", NULL},
        {"from: {recipe: ../missing.yaml}", NULL},
        {"from: oci:../outside:v1", "plain/outside"},
        {"from: {image: \"oci-archive:link/a.tar:v1\"}", "plain/outside"},
        {"from: {image: \"docker-archive:/etc/passwd\"}", "/etc"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        sb_autofree char *text = sb_format(HEAD "%s\n", refused[i].line);
        put("plain/recipes/r.yaml", text);
        if (!CHECK_INT(load("plain/recipes/r.yaml", NULL, NULL), SB_E_RECIPE) ||
            !CHECK(strstr(err.message, "plain/recipes/r.yaml:") &&
                   strstr(err.message, "outside the project") && strstr(err.message, "--allow /") &&
                   !strstr(err.message, "root:")))
            printf("    %s\n    %s\n", refused[i].line, err.message);
        CHECK_INT(load("plain/recipes/r.yaml", "checkout/sub", "checkout"), SB_E_RECIPE);
        if (!refused[i].allowed)
            continue;
        if (!CHECK_INT(load("plain/recipes/r.yaml", refused[i].allowed, NULL), 0) ||
            !CHECK_INT(load("plain/recipes/r.yaml", NULL, "/"), 0))
            printf("    %s\n    %s\n", refused[i].line, err.message);
    }
    CHECK_INT(load("plain/recipes/r.yaml", "nowhere", NULL), SB_E_USAGE);
    CHECK(strstr(err.message, "--allow nowhere"));
    CHECK_INT(load("plain/recipes/shown.yaml", NULL, NULL), SB_E_RECIPE); /* itself a link */
    CHECK(strstr(err.message, "outside the project") && !strstr(err.message, "text"));
    CHECK(strstr(err.hint, "--allow /"));
}

static void test_inside(void) {
    static const char *const fine[] = {
        "context: ..\nfrom: scratch", "context: ../src\nfrom: scratch", "from: ../shared/base.yaml",
        "from: base.yaml", "from: oci:../missing"};
    put("checkout/shared/base.yaml", "name: base\ncontext: ..\nfrom: scratch\n");
    CHECK_INT(symlink("../shared/base.yaml", "checkout/recipes/base.yaml"), 0);
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        sb_autofree char *text = sb_format(HEAD "%s\n", fine[i]);
        put("checkout/recipes/r.yaml", text);
        if (!CHECK_INT(load("checkout/recipes/r.yaml", NULL, NULL), 0))
            printf("    %s\n", err.message);
    }
    CHECK_INT(chdir("checkout/recipes"), 0);
    CHECK_INT(load("r.yaml", NULL, NULL), 0);
    CHECK_INT(chdir("../.."), 0);
    CHECK_INT(symlink("checkout", "by-link"),
              0); /* on the way to the project, links are the user's */
    CHECK_INT(load("by-link/recipes/r.yaml", NULL, NULL), 0);
}

static void test_kinds(void) {
    struct sb_project project;
    sb_autobuf struct sb_buf text = {0};
    CHECK_INT(mkfifo("checkout/fifo.yaml", 0644), 0);
    put("checkout/recipes/r.yaml", HEAD "from: ../fifo.yaml\n");
    CHECK_INT(load("checkout/recipes/r.yaml", NULL, NULL), SB_E_RECIPE);
    CHECK(strstr(err.message, "not a file"));
    put("checkout/recipes/r.yaml", HEAD "from: {image: \"oci-archive:../fifo.yaml\"}\n");
    CHECK_INT(load("checkout/recipes/r.yaml", NULL, NULL), SB_E_RECIPE);
    CHECK_INT(sb_project_find("checkout", NULL, &project, &err), 0);
    CHECK_INT(sb_project_read(&project, "checkout/fifo.yaml", 100, &text, NULL, &err), -1);
    CHECK(strstr(err.message, "is a FIFO"));
    CHECK_INT(sb_project_read(&project, "checkout/sub", 100, &text, NULL, &err), -1);
    CHECK_INT(sb_project_read(&project, "checkout/nowhere", 100, &text, NULL, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    sb_project_free(&project);
}

int main(void) {
    char made[] = "/var/tmp/sb-project.XXXXXX";
    static const char *const directories[] = {
        "checkout/.git",     "checkout/recipes",     "checkout/src",  "checkout/shared",
        "checkout/sub/.git", "checkout/sub/recipes", "plain/recipes", "plain/outside"};
    if (!CHECK(mkdtemp(made)) || !CHECK_INT(chdir(made), 0))
        return test_done();
    dir = realpath(made, NULL);
    setenv("HOME", dir, 1);
    unsetenv("SUDO_UID");
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        CHECK_INT(sb_directory_make(AT_FDCWD, directories[i], 0755, &err), 0);
    put("plain/outside/base.yaml", "name: base\nfrom: scratch\n");
    put("plain/outside/secret", "secret: text\n");
    put("plain/outside/a.tar", "");
    CHECK_INT(symlink("../outside", "plain/recipes/link"), 0);
    CHECK_INT(symlink("../outside/base.yaml", "plain/recipes/file.yaml"), 0);
    CHECK_INT(symlink("../outside/secret", "plain/recipes/shown.yaml"), 0);
    test_top();
    test_named();
    test_inside();
    test_kinds();
    CHECK_INT(chdir("/"), 0);
    CHECK_INT(sb_tree_remove(AT_FDCWD, made, &err), 0);
    free(dir);
    return test_done();
}
