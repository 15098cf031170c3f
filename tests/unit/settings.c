/* Settings: where they are looked for, which of them win, and how mistakes are named. */
#include "document/settings.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/unit/test.h"

static struct sb_error err;

static void put(const char *name, const char *text) {
    sb_error_clear(&err);
    CHECK_INT(sb_file_write(AT_FDCWD, name, text, strlen(text), 0644, &err), 0);
}

/* Projects say all here, as the user's own file trusts them, unless a test says otherwise. */
static void put_own(const char *text) {
    sb_autofree char *whole = sb_format("trust: [../../a]\n%s", text);
    put("home/sbuild/config.yaml", whole);
}

static void test_nearest(const char *dir) {
    put("a/sbuild.yaml", "jobs: 3\nmirrors: {debian: \"http://near/\"}\nstore: ../st\n");
    put("sbuild.yaml", "jobs: 99\n"); /* hidden by the nearer one */
    put_own("jobs: 7\nruntime: runc\nstore_limit: 50G\nmirrors: {debian: \"http://far/\", pip: "
            "\"https://pip/simple\"}\n");
    struct sb_settings s;
    if (!CHECK_INT(sb_settings_load("a/b/r.yaml", &s, &err), 0)) {
        printf("%s\n", err.message);
        return;
    }
    sb_autofree char *store = sb_format("%s/st", dir);
    CHECK_INT(s.jobs, 3);
    CHECK_STR(s.runtime, "runc");
    CHECK_STR(s.debian_mirror, "http://near/");
    CHECK_STR(s.pip_index, "https://pip/simple");
    CHECK_STR(s.store, store);
    CHECK_INT(s.store_limit, 50000000000);
    CHECK(!s.ubuntu_mirror);

    sb_autofree char *by_flag = sb_settings_store(&s, "/flag");
    CHECK_STR(by_flag, "/flag");
    sb_autofree char *by_settings = sb_settings_store(&s, NULL);
    CHECK_STR(by_settings, store);
    setenv("SBUILD_STORE", "/env", 1);
    sb_autofree char *by_environment = sb_settings_store(&s, NULL);
    CHECK_STR(by_environment, "/env");
    unsetenv("SBUILD_STORE");
    sb_settings_free(&s);
    sb_autofree char *by_default = sb_settings_store(&s, NULL);
    CHECK_STR(by_default, geteuid() ? "/data/sbuild" : "/var/lib/sbuild");
}

static void test_working_directory(void) {
    struct sb_settings s;
    CHECK_INT(sb_settings_load(NULL, &s, &err), 0);
    CHECK_INT(s.jobs, 99);
    sb_settings_free(&s);
    CHECK_INT(sb_settings_load("nowhere/r.yaml", &s, &err), 0); /* said when the recipe is read */
    sb_settings_free(&s);
}

static void test_registries(const char *dir) {
    put("a/sbuild.yaml", "registries:\n"
                         "  Reg.Example.com:5000: {ca: certs/ca.pem, client_cert: /c.pem, "
                         "client_key: ../k.pem}\n"
                         "  127.0.0.1:5000: {plain_http: true}\n"
                         "  \"[::1]:5000\": {endpoint: \"http://[::1]:6000/x\"}\n"
                         "cache: {from: reg.example.com/a/cache}\n");
    put_own("registries:\n"
            "  reg.example.com:5000: {skip_verify: true}\n"
            "  docker.io: {mirrors: [\"https://mirror.example.com/hub\"]}\n"
            "cache: {from: [far.example.com/x], to: far.example.com/x}\n");
    struct sb_settings s;
    if (!CHECK_INT(sb_settings_load("a/b/r.yaml", &s, &err), 0)) {
        printf("%s\n", err.message);
        return;
    }
    struct sb_registry_options options = {0};
    sb_settings_registry(&s, &options);
    CHECK(options.http.hosts == &s.registries);
    CHECK_INT(s.registries.n, 4);
    const struct sb_registry_host *h = s.registries.v;
    sb_autofree char *ca = sb_format("%s/a/certs/ca.pem", dir);
    sb_autofree char *key = sb_format("%s/k.pem", dir);
    CHECK_STR(h[0].host, "reg.example.com:5000");
    CHECK_STR(h[0].ca, ca);
    CHECK_STR(h[0].client_cert, "/c.pem");
    CHECK_STR(h[0].client_key, key);
    CHECK(!h[0].skip_verify); /* the nearest file has all of a host */
    CHECK_STR(h[1].host, "127.0.0.1:5000");
    CHECK(h[1].plain_http);
    CHECK_STR(h[2].host, "[::1]:5000");
    CHECK_STR(h[2].endpoint, "http://[::1]:6000/x");
    CHECK_STR(h[3].host, "docker.io");
    CHECK_INT(h[3].mirrors.n, 1);
    CHECK_INT(s.cache_from.n, 1);
    CHECK_STR(s.cache_from.v[0], "reg.example.com/a/cache");
    CHECK_STR(s.cache_to, "far.example.com/x");
    sb_settings_free(&s);

    put("a/sbuild.yaml", "cache: {from: []}\n"); /* none, rather than those further away */
    CHECK_INT(sb_settings_load("a/b/r.yaml", &s, &err), 0);
    CHECK_INT(s.cache_from.n, 0);
    CHECK_INT(s.registries.n, 2);
    sb_settings_free(&s);
    put_own("jobs: 7\n");
}

static void test_mistakes(const char *dir) {
    struct sb_settings s;
    put("a/sbuild.yaml", "job: 3\nstore_limit: x\nruntime: \"${X}\"\n");
    CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), -1);
    CHECK_INT(err.code, SB_E_RECIPE);
    sb_autofree char *expected =
        sb_format("%s/a/sbuild.yaml:1:1: key \"job\": unknown key in settings (did you mean "
                  "\"jobs\"?)\n"
                  "%s/a/sbuild.yaml:2:14: key \"store_limit\": expected a size such as 8G or "
                  "512Mi, found \"x\"",
                  dir, dir);
    CHECK_STR(err.message, expected);
    put("a/sbuild.yaml", "");
    CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), 0);
    CHECK_INT(s.jobs, 7); /* an empty file is a file: the one above stays hidden */
    sb_settings_free(&s);
    CHECK_INT(truncate("a/sbuild.yaml", 100 << 20), 0);
    CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), -1);
}

/* A runtime named by a stranger's file would run with our rights. */
static void test_strangers_file(void) {
    if (geteuid() != 0) {
        TEST_SKIP("only root can make another user's file");
        return;
    }
    struct sb_settings s;
    put("a/sbuild.yaml", "runtime: /tmp/evil\n");
    CHECK_INT(chown("a/sbuild.yaml", 12345, 12345), 0);
    CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), -1);
    CHECK(strstr(err.message, "a/sbuild.yaml belongs to another user (uid 12345)"));
    CHECK_INT(chown("a", 12345, 12345), 0); /* but who owns the recipe's directory may */
    CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), 0);
    sb_settings_free(&s);
}

/* What a project may say when nobody trusts it, key by key. */
static void test_project(const char *dir) {
    static const char *const refused[] = {
        "runtime: ./evil.sh",
        "store: ../st",
        "store_limit: 1k",
        "mirrors: {debian: \"http://a/\"}",
        "mirrors: {ubuntu: \"http://a/\"}",
        "mirrors: {pip: \"http://a/\"}",
        "registries: {a.example.com: {plain_http: true}}",
        "registries: {}",
        "cache: {from: a.example.com/x}",
        "cache: {to: a.example.com/x}",
        "trust: [/]",
        "steps: {authorities: a.pem}",
    };
    struct sb_settings s;
    put("home/sbuild/config.yaml", "jobs: 7\n");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        put("a/sbuild.yaml", refused[i]);
        CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), -1);
        CHECK_INT(err.code, SB_E_RECIPE);
        CHECK(strstr(err.message, "/a/sbuild.yaml:1:") && strstr(err.message, "not for a project"));
        CHECK(strstr(err.hint, "~/.config/sbuild/config.yaml"));
        CHECK(strstr(err.hint, "trust: ["));
        put("sbuild.yaml", refused[i]); /* above the project it is no better */
        unlink("a/sbuild.yaml");
        CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), -1);
        unlink("sbuild.yaml");
    }
    put("a/sbuild.yaml", "jobs: 3\n");
    CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), 0);
    CHECK_INT(s.jobs, 3);
    sb_settings_free(&s);
    put("a/sbuild.yaml", "runtime: ./evil.sh\ntrust: [/]\n");
    static const char *const trusting[] = {"trust: [../../a]", "trust: [~/a]", "trust: /"};
    setenv("HOME", dir, 1);
    for (size_t i = 0; i < 3; i++) {
        put("home/sbuild/config.yaml", trusting[i]);
        CHECK_INT(sb_settings_load("a/b/r.yaml", &s, &err), 0);
        CHECK_STR(s.runtime, "./evil.sh");
        CHECK_INT(s.trust.n, 1); /* of the user alone */
        sb_settings_free(&s);
    }
    put("home/sbuild/config.yaml", "trust: [../../a/b, ../../aa, /nowhere]\n");
    CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), -1);
}

/* Of what a checkout puts in its place nothing is shown, and nothing is waited for. */
static void test_foreign(void) {
    struct sb_settings s;
    put("home/sbuild/config.yaml", "jobs: 7\n");
    unlink("a/sbuild.yaml");
    CHECK_INT(symlink("/etc/passwd", "a/sbuild.yaml"), 0);
    CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), -1);
    CHECK(strstr(err.message, "outside the project") && !strstr(err.message, "root:"));
    unlink("a/sbuild.yaml");
    CHECK_INT(mkfifo("a/sbuild.yaml", 0644), 0);
    CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), -1);
    CHECK(strstr(err.message, "is a FIFO"));
    unlink("a/sbuild.yaml");
    unlink("sbuild.yaml");
    CHECK_INT(mkfifo("sbuild.yaml", 0644), 0); /* above the project it is nobody's */
    CHECK_INT(sb_settings_load("a/r.yaml", &s, &err), 0);
    sb_settings_free(&s);
    unlink("sbuild.yaml");
}

int main(void) {
    char made[] = "/tmp/sbuild-settings-XXXXXX";
    if (!CHECK(mkdtemp(made)) || !CHECK_INT(chdir(made), 0))
        return test_done();
    sb_autofree char *dir = realpath(made, NULL);
    sb_autofree char *home = sb_format("%s/home", dir);
    setenv("XDG_CONFIG_HOME", home, 1);
    setenv("XDG_DATA_HOME", "/data", 1);
    unsetenv("SBUILD_STORE");
    CHECK_INT(sb_directory_make(AT_FDCWD, "a/b", 0755, &err), 0);
    CHECK_INT(sb_directory_make(AT_FDCWD, "home/sbuild", 0755, &err), 0);
    test_nearest(dir);
    test_working_directory();
    test_registries(dir);
    test_mistakes(dir);
    test_project(dir);
    test_foreign();
    put_own("");
    test_strangers_file();
    CHECK_INT(chdir("/"), 0);
    CHECK_INT(sb_tree_remove(AT_FDCWD, made, &err), 0);
    return test_done();
}
