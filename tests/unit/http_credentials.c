/* Whose credentials are found where: files, helpers (real programs, in a PATH of their own), their
 * order, and what login and logout leave in them. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "http/credentials.h"
#include "http/docker_config.h"
#include "http/helper.h"
#include "tests/unit/test.h"

static char dir[] = "/tmp/sb-unit-credentials-XXXXXX";

static char *at(const char *name) {
    return sb_path_join(dir, name);
}

static void put(const char *name, const char *text, mode_t mode) {
    sb_autofree char *path = at(name);
    sb_autofree char *parent = sb_path_dirname(path);
    CHECK(sb_directory_make(AT_FDCWD, parent, 0755, NULL) == 0);
    CHECK(sb_file_write(AT_FDCWD, path, text, strlen(text), mode, NULL) == 0);
}

static char *get(const char *name) {
    sb_autofree char *path = at(name);
    struct sb_buf text = {0};
    sb_file_read(AT_FDCWD, path, 1 << 20, &text, NULL);
    return text.data ? sb_buf_steal(&text) : sb_strdup("");
}

static void environment(const char *name, const char *path) {
    sb_autofree char *value = path ? at(path) : NULL;
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

/* "user:password", "id:TOKEN", "bearer:TOKEN", "none", "error". */
static char *found_as(int found, const struct sb_credential *c) {
    if (found < 0)
        return sb_strdup("error");
    if (!found)
        return sb_strdup("none");
    return c->registry_token   ? sb_format("bearer:%s", c->registry_token)
           : c->identity_token ? sb_format("id:%s", c->identity_token)
                               : sb_format("%s:%s", c->user, c->password);
}

/* ---- one file ---- */

static const char file[] = "{\"auths\": {"
                           "\"https://index.docker.io/v1/\": {\"auth\": \"aHViOnB3\"}," /* hub:pw */
                           "\"a.example.com\": {\"auth\": \"YTpw\"},"                   /* a:p */
                           "\"a.example.com/team\": {\"auth\": \"dDpw\"},"              /* t:p */
                           "\"a.example.com/team/app\": {\"auth\": \"YXBwOnA=\"},"      /* app:p */
                           "\"https://b.example.com:5000/v2/\": {\"auth\": \"YjpwOnE6\"},"
                           "\"http://c.example.com\": {\"username\": \"c\", \"password\": \"p w\"},"
                           "\"D.Example.com/v1/\": {\"auth\": \"ZDpw\"},"
                           "\"e.example.com\": {},"
                           "\"f.example.com\": {\"auth\": \"Zjo=\", \"identitytoken\": \"tok\"},"
                           "\"g.example.com\": {\"registrytoken\": \"reg\"},"
                           "\"h.example.com\": {\"auth\": \"not base64\"},"
                           "\"i.example.com\": {\"auth\": \"bm9jb2xvbg==\"},"
                           "\"j.example.com\": {\"auth\": \"ajpwAAAA\"}," /* j:p and NULs */
                           "\"k.example.com/only\": {\"auth\": \"azpw\"},"
                           "\"https://l.example.com/v2/\": {\"auth\": \"b2xkOnA=\"}," /* old:p */
                           "\"l.example.com\": {\"auth\": \"bmV3OnA=\"},"             /* new:p */
                           "\"m.example.com\": \"text\", \"n.example.com\": {\"auth\": \"bjoA\"},"
                           "\"docker.io/team\": {\"auth\": \"dGVhbTpwdw==\"}"
                           "}}";

static void one_file(void) {
    static const struct {
        const char *host, *repository, *wanted;
    } cases[] = {
        {"docker.io", "library/alpine", "hub:pw"},
        {"docker.io", "team/app", "team:pw"},
        {"docker.io", "", "hub:pw"},
        {"a.example.com", "", "a:p"},
        {"a.example.com", "other/app", "a:p"},
        {"a.example.com", "teams/app", "a:p"},
        {"a.example.com", "team", "t:p"},
        {"a.example.com", "team/api", "t:p"},
        {"a.example.com", "team/app", "app:p"},
        {"a.example.com", "team/app/x", "app:p"},
        {"a.example.com:443", "team", "none"},
        {"example.com", "", "none"},
        {"b.example.com:5000", "x", "b:p:q:"},
        {"b.example.com", "x", "none"},
        {"c.example.com", "x", "c:p w"},
        {"d.example.com", "x", "d:p"},
        {"e.example.com", "x", "none"},
        {"f.example.com", "x", "id:tok"},
        {"g.example.com", "x", "bearer:reg"},
        {"h.example.com", "x", "error"},
        {"i.example.com", "x", "error"},
        {"j.example.com", "x", "j:p"},
        {"k.example.com", "x", "none"},
        {"k.example.com", "only/x", "k:p"},
        {"l.example.com", "x", "new:p"},
        {"m.example.com", "x", "none"},
        {"n.example.com", "x", "none"},
    };
    sb_autodockerconfig struct sb_docker_config config = {0};
    CHECK_INT(sb_docker_config_parse(file, strlen(file), "/x/config.json", &config, NULL), 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autocredential struct sb_credential c = {0};
        struct sb_error err = {0};
        int found = sb_docker_config_find(&config, cases[i].host, cases[i].repository, &c, &err);
        sb_autofree char *text = found_as(found, &c);
        if (!CHECK_STR(text, cases[i].wanted))
            printf("    %s %s\n", cases[i].host, cases[i].repository);
        if (found < 0) {
            CHECK(strstr(err.message, "/x/config.json") && strstr(err.message, cases[i].host));
            CHECK(!strstr(err.message, "not base64 ") && !strstr(err.message, "bm9jb2xvbg"));
        }
    }
    CHECK(sb_docker_config_has_paths(&config, "a.example.com"));
    CHECK(sb_docker_config_has_paths(&config, "docker.io"));
    CHECK(!sb_docker_config_has_paths(&config, "b.example.com:5000"));
}

static void bad_files(void) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"auths\": {\"a\": {\"auth\": \"c2VjcmV0\" \"x\"}}}", "/x/c.json:1:"},
        {"{\n \"auths\": secret\n}", "/x/c.json:2:"},
        {"[]", "/x/c.json: not a JSON object"},
        {"\"secret\"", "/x/c.json:1:"},
        {"{\"a\": \"\xff\"}", "/x/c.json:1:"},
        {"{} secret", "/x/c.json:1:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autodockerconfig struct sb_docker_config config = {0};
        struct sb_error err = {0};
        CHECK_INT(sb_docker_config_parse(cases[i].text, strlen(cases[i].text), "/x/c.json", &config,
                                         &err),
                  -1);
        if (!CHECK(!strncmp(err.message, cases[i].message, strlen(cases[i].message))))
            printf("    %s\n", err.message);
        CHECK(!strstr(err.message, "secret") && !strstr(err.message, "c2Vj"));
    }
    sb_autodockerconfig struct sb_docker_config empty = {0}, large = {0};
    CHECK_INT(sb_docker_config_parse(" \n", 2, "/x", &empty, NULL), 1);
    sb_autofree char *path = at("large");
    put("large", "{}", 0600);
    CHECK(truncate(path, SB_DOCKER_CONFIG_LIMIT + 1) == 0);
    struct sb_error err = {0};
    CHECK_INT(sb_docker_config_read(path, &large, &err), -1);
    CHECK(strstr(err.message, path) != NULL);
}

/* ---- helpers ---- */

/* A helper as docker-credential-helpers has them, with files as its store. */
static const char helper[] =
    "#!/bin/sh\n"
    "store=${0%/*}/../kept; mkdir -p \"$store\"\n"
    "input=$(cat)\n"
    "echo \"$1 $#\" >>\"$store/calls\"\n"
    "name() { printf '%s' \"$1\" | tr -c 'a-z0-9.' _; }\n"
    "case $1 in\n"
    "get) f=$store/$(name \"$input\")\n"
    "  [ -e \"$f\" ] || { echo 'credentials not found in native keychain'; exit 1; }\n"
    "  cat \"$f\" ;;\n"
    "store) url=$(printf '%s' \"$input\" | sed 's/.*\"ServerURL\":\"\\([^\"]*\\)\".*/\\1/')\n"
    "  printf '%s' \"$input\" >\"$store/$(name \"$url\")\" ;;\n"
    "erase) rm \"$store/$(name \"$input\")\" ;;\n"
    "esac\n";

static void helpers(void) {
    put("bin/docker-credential-files", helper, 0755);
    put("bin/docker-credential-angry", "#!/bin/sh\necho \"no: $(cat)\"\necho more\nexit 3\n", 0755);
    put("bin/docker-credential-slow", "#!/bin/sh\nexec sleep 60\n", 0755);
    put("bin/docker-credential-closed", "#!/bin/sh\nexec >&-; sleep 60\n", 0755);
    put("bin/docker-credential-endless", "#!/bin/sh\nexec yes\n", 0755);
    put("bin/docker-credential-odd", "#!/bin/sh\necho '{\"Secret\": \"s3cret\"'\n", 0755);
    put("bin/docker-credential-empty", "#!/bin/sh\necho '{\"Username\": \"\", \"Secret\": \"\"}'\n",
        0755);

    struct sb_credential none = {0};
    sb_autocredential struct sb_credential c = {0}, token = {0};
    struct sb_error err = {0};
    CHECK_INT(sb_helper_get("files", "a.example.com", &c, &err), 0);
    struct sb_credential kept = {.user = "bob", .password = "p\"ss\\wörd"};
    CHECK_INT(sb_helper_store("files", "a.example.com", &kept, &err), 0);
    CHECK_INT(sb_helper_get("files", "a.example.com", &c, &err), 1);
    CHECK_STR(c.user, kept.user);
    CHECK_STR(c.password, kept.password);
    CHECK_STR(c.source, "docker-credential-files");
    struct sb_credential identity = {.user = "bob", .identity_token = "refresh"};
    CHECK_INT(sb_helper_store("files", "b.example.com", &identity, &err), 0);
    CHECK_INT(sb_helper_get("files", "b.example.com", &token, &err), 1);
    CHECK_STR(token.identity_token, "refresh");
    CHECK(!token.user && !token.password);
    CHECK_INT(sb_helper_erase("files", "a.example.com", &err), 1);
    CHECK_INT(sb_helper_get("files", "a.example.com", &none, &err), 0);

    CHECK_INT(sb_helper_get("angry", "a.example.com", &none, &err), -1);
    CHECK_STR(err.message,
              "docker-credential-angry get failed with status 3: \"no: a.example.com\"");
    CHECK_INT(sb_helper_store("angry", "a.example.com", &kept, &err), -1);
    CHECK(!strstr(err.message, "wörd"));
    CHECK_INT(sb_helper_get("odd", "a.example.com", &none, &err), -1);
    CHECK(!strstr(err.message, "s3cret"));
    CHECK_INT(sb_helper_get("empty", "a.example.com", &none, &err), -1);
    CHECK_INT(sb_helper_get("missing", "a.example.com", &none, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK_INT(sb_helper_get("../bin/sh", "a.example.com", &none, &err), -1);
    CHECK_INT(sb_helper_get("", "a.example.com", &none, &err), -1);
    CHECK_INT(sb_helper_get("endless", "a.example.com", &none, &err), -1);
    CHECK(strstr(err.message, "bytes of output") != NULL);
    sb_helper_timeout_ms = 300;
    time_t before = time(NULL);
    CHECK_INT(sb_helper_get("slow", "a.example.com", &none, &err), -1);
    CHECK(strstr(err.message, "no answer within") != NULL);
    CHECK_INT(sb_helper_get("closed", "a.example.com", &none, &err), -1);
    CHECK(time(NULL) - before < 20);
    sb_helper_timeout_ms = 60000;
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* none is left */
}

/* ---- all files together ---- */

static char *find(const char *host, const char *repository) {
    sb_autocredential struct sb_credential c = {0};
    struct sb_error err = {0};
    int found = sb_credentials_find(host, repository, &c, &err);
    return found_as(found, &c);
}

#define CHECK_FOUND(host, repository, wanted)                                                      \
    do {                                                                                           \
        sb_autofree char *found_ = find(host, repository);                                         \
        CHECK_STR(found_, wanted);                                                                 \
    } while (0)

static void all_files(void) {
    environment("HOME", "home");
    environment("DOCKER_CONFIG", NULL);
    environment("XDG_RUNTIME_DIR", "run");
    environment("REGISTRY_AUTH_FILE", NULL);
    CHECK_FOUND("a.example.com", "x", "none");
    put("run/containers/auth.json", "{\"auths\": {\"a.example.com\": {\"auth\": \"cnVuOnA=\"}}}",
        0600);
    CHECK_FOUND("a.example.com", "x", "run:p");
    CHECK(!sb_credentials_by_repository("a.example.com"));
    put("home/.docker/config.json",
        "{\"auths\": {\"a.example.com\": {\"auth\": \"aG9tZTpw\"}, \"k.example.com/p\": {}}}",
        0600);
    CHECK_FOUND("a.example.com", "x", "home:p");
    CHECK(sb_credentials_by_repository("k.example.com"));
    put("docker/config.json", "", 0600);
    environment("DOCKER_CONFIG", "docker");
    CHECK_FOUND("a.example.com", "x", "run:p");
    put("docker/config.json",
        "{\"credHelpers\": {\"a.example.com\": \"files\", \"https://c.example.com/v1/\": \"files\","
        " \"d.example.com\": \"\", \"e.example.com\": \"angry\"},"
        " \"auths\": {\"a.example.com\": {\"auth\": \"ZDpw\"}, \"b.example.com\": {\"auth\": "
        "\"ZDpw\"}, \"d.example.com\": {\"auth\": \"ZDpw\"}}}",
        0600);
    CHECK_FOUND("a.example.com", "x", "d:p"); /* the helper has none */
    struct sb_credential kept = {.user = "helped", .password = "p"};
    CHECK_INT(sb_helper_store("files", "a.example.com", &kept, NULL), 0);
    CHECK_INT(sb_helper_store("files", "c.example.com", &kept, NULL), 0);
    CHECK_FOUND("a.example.com", "x", "helped:p");
    CHECK_FOUND("c.example.com", "x", "helped:p");
    CHECK_FOUND("b.example.com", "x", "d:p");
    CHECK_FOUND("d.example.com", "x", "d:p");
    CHECK_FOUND("e.example.com", "x", "error");
    put("auth.json", "{\"credsStore\": \"files\", \"auths\": {\"https://b.example.com\": {}}}",
        0600);
    environment("REGISTRY_AUTH_FILE", "auth.json");
    CHECK_FOUND("b.example.com", "x", "id:refresh");
    CHECK_FOUND("docker.io", "x", "none");
    CHECK_INT(sb_helper_store("files", "docker.io", &kept, NULL), 0);
    CHECK_FOUND("docker.io", "x", "helped:p"); /* as podman stores it */
    kept.user = "hub";
    CHECK_INT(sb_helper_store("files", "https://index.docker.io/v1/", &kept, NULL), 0);
    CHECK_FOUND("docker.io", "x", "hub:p");
    setenv("REGISTRY_AUTH_FILE", "/dev/null", 1);
    CHECK_FOUND("b.example.com", "x", "d:p");
    setenv("HOME", "/dev/null", 1);
    environment("DOCKER_CONFIG", NULL);
    CHECK_FOUND("a.example.com", "x", "run:p");
}

/* What is only where podman, or an old Docker, puts it; and helpers that are not installed. */
static void other_files(void) {
    static const struct {
        const char *path, *text, *host, *repository, *wanted;
    } cases[] = {
        {"h1/.config/containers/auth.json",
         "{\"auths\": {\"a.example.com\": {\"auth\": \"Yzpw\"}}}", "a.example.com", "x", "c:p"},
        {"h2/.dockercfg",
         "{\"https://a.example.com/v1/\": {\"auth\": \"bGVnOnA=\", \"email\": \"x\"}}",
         "a.example.com", "x", "leg:p"},
        {"h3/.dockercfg", "{\"https://index.docker.io/v1/\": {\"auth\": \"bGVnOnA=\"}}",
         "docker.io", "library/x", "leg:p"},
        {"h4/.docker/config.json",
         "{\"credsStore\": \"not-there\", \"auths\": {\"a.example.com\": {\"auth\": \"Yzpw\"}}}",
         "a.example.com", "x", "c:p"},
        {"h5/.docker/config.json",
         "{\"credsStore\": \"not-there\", \"auths\": {\"a.example.com\": {}}}", "a.example.com",
         "x", "error"},
        {"h6/.docker/config.json",
         "{\"credHelpers\": {\"b.example.com\": \"not-there\"}, \"auths\": {\"a.example.com\": "
         "{\"auth\": "
         "\"Yzpw\"}}}",
         "a.example.com", "x", "c:p"},
    };
    environment("DOCKER_CONFIG", NULL);
    environment("REGISTRY_AUTH_FILE", NULL);
    environment("XDG_RUNTIME_DIR", "nothing");
    environment("XDG_CONFIG_HOME", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autofree char *home = sb_strndup(cases[i].path, 2);
        environment("HOME", home);
        put(cases[i].path, cases[i].text, 0600);
        sb_autofree char *found = find(cases[i].host, cases[i].repository);
        if (!CHECK_STR(found, cases[i].wanted))
            printf("    %s\n", cases[i].path);
    }
    environment("HOME", "h5");
    environment("XDG_CONFIG_HOME", "h1/.config");
    CHECK_FOUND("a.example.com", "x", "c:p"); /* another file has what the helper would */
    environment("XDG_CONFIG_HOME", NULL);
    sb_autostrings struct sb_strings where = {0};
    environment("HOME", "h2");
    CHECK_INT(sb_credentials_erase("a.example.com", &where, NULL), 1);
    CHECK_FOUND("a.example.com", "x", "none");
}

/* ---- login and logout ---- */

static const char before[] = "{\"HttpHeaders\": {\"X\": \"y\"}, \"auths\": {\"z.example.com\": "
                             "{\"auth\": \"ejpw\", \"email\": \"z@z\"}}, \"plugins\": {\"a\": "
                             "[1, 2.5, null]}, \"auths2\": true}";

static mode_t mode_of(const char *name) {
    sb_autofree char *path = at(name);
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_mode : 0;
}

static void log_in(const char *host, const char *wanted) {
    struct sb_credential c = {.user = "new", .password = "p:q"};
    sb_autofree char *where = NULL;
    struct sb_error err = {0};
    if (!CHECK_INT(sb_credentials_store(host, &c, &where, &err), 0))
        printf("    %s\n", err.message);
    CHECK_STR(where, wanted);
    CHECK_FOUND(host, "x", "new:p:q");
}

static void files_change(void) {
    environment("HOME", "fresh");
    environment("DOCKER_CONFIG", NULL);
    environment("REGISTRY_AUTH_FILE", NULL);
    environment("XDG_RUNTIME_DIR", "run");
    umask(0);
    sb_autofree char *fresh = at("fresh/.docker/config.json"), *linked = at("linked.json");
    log_in("new.example.com", fresh);
    CHECK_INT(mode_of("fresh/.docker/config.json") & 0777, 0600);
    CHECK_INT(mode_of("fresh/.docker") & 0777, 0700);

    put("dotfiles/config.json", before, 0644);
    CHECK(symlink("dotfiles/config.json", linked) == 0);
    environment("REGISTRY_AUTH_FILE", "linked.json");
    log_in("new.example.com:5000", linked);
    CHECK(S_ISLNK(mode_of("linked.json")));
    CHECK_INT(mode_of("dotfiles/config.json") & 0777, 0600);
    sb_autofree char *text = get("dotfiles/config.json");
    const char *order[] = {"HttpHeaders",          "auths\"", "z.example.com", "z@z",
                           "new.example.com:5000", "plugins", "2.5",           "auths2"};
    const char *last = text;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const char *place = strstr(text, order[i]);
        CHECK(place && place >= last);
        last = place ? place : last;
    }
    log_in("docker.io", linked);
    sb_autofree char *hub = get("dotfiles/config.json");
    CHECK(strstr(hub, "\"https://index.docker.io/v1/\"") && !strstr(hub, "\"docker.io\""));

    sb_autostrings struct sb_strings where = {0};
    CHECK_INT(sb_credentials_erase("docker.io", &where, NULL), 1);
    CHECK_INT(where.n, 1);
    CHECK_INT(sb_credentials_erase("new.example.com:5000", &where, NULL), 1);
    CHECK_INT(sb_credentials_erase("new.example.com:5000", &where, NULL), 0);
    sb_autofree char *after = get("dotfiles/config.json");
    CHECK(strstr(after, "z@z") && !strstr(after, "docker.io") && !strstr(after, ":5000"));

    put("dotfiles/config.json", "{\"credsStore\": \"files\"}", 0600);
    log_in("helped.example.com", "docker-credential-files");
    sb_autofree char *helped = get("dotfiles/config.json");
    CHECK(strstr(helped, "\"helped.example.com\": {}") != NULL);
    CHECK_INT(sb_credentials_erase("helped.example.com", &where, NULL), 1);
    CHECK_FOUND("helped.example.com", "x", "none");

    put("dotfiles/config.json", "{\"credsStore\": \"angry\"}", 0600);
    struct sb_credential c = {.user = "new", .password = "hidden"};
    char *nowhere = NULL;
    struct sb_error err = {0};
    CHECK_INT(sb_credentials_store("x.example.com", &c, &nowhere, &err), -1);
    CHECK(!nowhere && !strstr(err.message, "hidden"));
    put("dotfiles/config.json", "{broken", 0600);
    CHECK_INT(sb_credentials_store("x.example.com", &c, &nowhere, &err), -1);
    sb_autofree char *kept = get("dotfiles/config.json");
    CHECK_STR(kept, "{broken"); /* nothing is overwritten that isn't understood */
}

/* Many at once: none gets lost. */
static void at_once(void) {
    environment("REGISTRY_AUTH_FILE", "many.json");
    enum { MANY = 8 };
    for (int i = 0; i < MANY; i++) {
        if (fork() > 0)
            continue;
        struct sb_credential c = {.user = "u", .password = "p"};
        sb_autofree char *host = sb_format("h%d.example.com", i);
        char *where = NULL;
        _exit(sb_credentials_store(host, &c, &where, NULL) == 0 ? 0 : 1);
    }
    int status, bad = 0;
    while (wait(&status) > 0)
        bad += status != 0;
    CHECK_INT(bad, 0);
    for (int i = 0; i < MANY; i++) {
        sb_autofree char *host = sb_format("h%d.example.com", i);
        CHECK_FOUND(host, "", "u:p");
    }
}

int main(void) {
    if (!CHECK(mkdtemp(dir) != NULL))
        return test_done();
    sb_autofree char *bin = at("bin"), *path = sb_format("%s:%s", bin, getenv("PATH"));
    setenv("PATH", path, 1);
    one_file();
    bad_files();
    helpers();
    all_files();
    other_files();
    files_change();
    at_once();
    CHECK(sb_tree_remove(AT_FDCWD, dir, NULL) == 0);
    return test_done();
}
