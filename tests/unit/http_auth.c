/* Which Authorization a request gets: against a real token server (tests/e2e/token-issuer), with
 * challenges as registries send them. */
#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "http/auth.h"
#include "http/credentials.h"
#include "http/secret.h"
#include "tests/unit/test.h"

#define HOST   "127.0.0.1:5000"
#define ORIGIN "http://127.0.0.1:5000"

static char dir[] = "/tmp/sb-unit-auth-XXXXXX";
static const struct sb_http_settings settings = {.stall_seconds = 10};

static char *at(const char *name) {
    return sb_path_join(dir, name);
}

static void put(const char *name, const char *text, mode_t mode) {
    sb_autofree char *path = at(name), *parent = sb_path_dirname(path);
    CHECK(sb_directory_make(AT_FDCWD, parent, 0755, NULL) == 0);
    CHECK(sb_file_write(AT_FDCWD, path, text, strlen(text), mode, NULL) == 0);
}

/* ---- token servers ---- */

struct issuer {
    pid_t pid;
    char *realm, *log;
};

static struct issuer start_issuer(const char *name, const char *const *options) {
    struct issuer issuer = {0};
    sb_autofree char *place = at(name), *users = at("users");
    sb_autostrings struct sb_strings argv = {0};
    sb_strings_add(&argv, "tests/e2e/token-issuer");
    sb_strings_add(&argv, "--dir");
    sb_strings_add(&argv, place);
    sb_strings_add(&argv, "--users");
    sb_strings_add(&argv, users);
    for (; options && *options; options++)
        sb_strings_add(&argv, *options);
    int ends[2];
    if (!CHECK(pipe2(ends, O_CLOEXEC) == 0))
        return issuer;
    struct sb_process_options process = {
        .argv = (const char *const *)argv.v, .in = -1, .out = ends[1], .err = STDERR_FILENO};
    issuer.pid = sb_process_start(&process, NULL);
    close(ends[1]);
    char line[256] = "";
    size_t n = 0;
    while (n < sizeof line - 1 && read(ends[0], line + n, 1) == 1 && line[n] != '\n')
        n++;
    close(ends[0]);
    line[n] = '\0';
    if (CHECK(!strncmp(line, "listening on ", 13)))
        issuer.realm = sb_strdup(line + 13);
    issuer.log = sb_format("%s/token.log", place);
    return issuer;
}

static void stop_issuer(struct issuer *issuer) {
    kill(issuer->pid, SIGTERM);
    waitpid(issuer->pid, NULL, 0);
    free(issuer->realm);
    free(issuer->log);
}

/* How many requests it had, and (out_last, may be NULL) the last one. */
static int requests(const struct issuer *issuer, char **out_last) {
    sb_autobuf struct sb_buf text = {0};
    sb_file_read(AT_FDCWD, issuer->log, 1 << 20, &text, NULL);
    int n = 0;
    const char *last = "";
    for (const char *p = sb_buf_text(&text); *p; p = strchr(p, '\n') + 1, n++)
        last = p;
    if (out_last)
        *out_last = sb_strndup(last, strcspn(last, "\n"));
    return n;
}

#define CHECK_LAST(issuer, wanted)                                                                 \
    do {                                                                                           \
        sb_autofree char *last_ = NULL;                                                            \
        requests(issuer, &last_);                                                                  \
        if (!CHECK(strstr(last_, wanted) != NULL))                                                 \
            printf("    %s\n    %s\n", last_, wanted);                                             \
    } while (0)

/* ---- asking ---- */

static struct sb_error err;

static int header(struct sb_auth *auth, const char *scope, struct sb_buf *out) {
    struct sb_auth_request request = {HOST, ORIGIN, scope};
    sb_error_clear(&err);
    return sb_auth_header(auth, &request, out, &err);
}

static int challenge(struct sb_auth *auth, const char *scope, const char *text, const char *used,
                     struct sb_buf *out) {
    struct sb_auth_request request = {HOST, ORIGIN, scope};
    sb_autostrings struct sb_strings headers = {0};
    sb_strings_add(&headers, "content-length: 0");
    if (text)
        sb_strings_addf(&headers, "www-authenticate: %s", text);
    sb_error_clear(&err);
    return sb_auth_challenge(auth, &request, &headers, used, out, &err);
}

static char *bearer(const struct issuer *issuer, const char *scope) {
    return sb_format("Bearer realm=\"%s\",service=\"registry\"%s%s%s", issuer->realm,
                     scope ? ",scope=\"" : "", scope ? scope : "", scope ? "\"" : "");
}

/* bob:open sesame, as HOST's. */
static void log_in_as(const char *user, const char *password) {
    struct sb_credential c = {.user = (char *)user, .password = (char *)password};
    sb_autofree char *where = NULL;
    CHECK_INT(sb_credentials_store(HOST, &c, &where, NULL), 0);
}

static void log_out(void) {
    sb_autostrings struct sb_strings where = {0};
    CHECK(sb_credentials_erase(HOST, &where, NULL) >= 0);
}

static void tokens_are_kept(const struct issuer *issuer) {
    log_in_as("bob", "open sesame");
    struct sb_auth *auth = sb_auth_new(&settings);
    sb_autosecret struct sb_buf a = {0}, again = {0}, b = {0}, both = {0};
    sb_autofree char *text = bearer(issuer, "repository:team/a:pull");
    int start = requests(issuer, NULL);
    CHECK_INT(header(auth, "repository:team/a:pull", &a), 0);
    CHECK_INT(challenge(auth, "repository:team/a:pull", text, NULL, &a), 1);
    CHECK(!strncmp(sb_buf_text(&a), "Bearer ey", 9));
    CHECK_INT(header(auth, "repository:team/a:pull", &again), 1);
    CHECK_STR(again.data, a.data);
    CHECK_INT(header(auth, NULL, &again), 1);
    CHECK_STR(again.data, a.data);
    CHECK_INT(requests(issuer, NULL), start + 1);
    CHECK_LAST(issuer, "\"user\": \"bob\", \"service\": \"registry\", "
                       "\"scopes\": [\"repository:team/a:pull\"], \"status\": 200");
    /* Another scope: no 401 is needed, and all that was asked for is joined. */
    CHECK_INT(header(auth, "repository:team/b:push,pull", &b), 1);
    CHECK(strcmp(a.data, b.data) != 0);
    CHECK_LAST(issuer, "[\"repository:team/a:pull\", \"repository:team/b:pull,push\"]");
    CHECK_INT(header(auth, "repository:team/b:pull repository:team/a:pull", &both), 1);
    CHECK_STR(both.data, b.data);
    CHECK_INT(requests(issuer, NULL), start + 2);
    /* The challenge asks for more than the request did. */
    sb_autofree char *more = bearer(issuer, "repository:team/c:pull");
    CHECK_INT(challenge(auth, "repository:team/a:pull", more, b.data, &both), 1);
    CHECK_LAST(issuer, "[\"repository:team/a:pull\", \"repository:team/b:pull,push\", "
                       "\"repository:team/c:pull\"]");
    /* A token that was just made, and covers all of it, is refused: no use asking for another. */
    CHECK_INT(challenge(auth, "repository:team/a:pull", text, both.data, &a), -1);
    CHECK_INT(err.code, SB_E_NETWORK);
    CHECK(err.reason != SB_REASON_PASSING);
    CHECK(strstr(err.message, "denied \"repository:team/a:pull\" to \"bob\" (from ") != NULL);
    CHECK(!strstr(err.message, "sesame"));
    CHECK_INT(requests(issuer, NULL), start + 3);
    sb_auth_free(auth);
}

static void tokens_expire(const struct issuer *issuer) {
    struct sb_auth *auth = sb_auth_new(&settings);
    sb_autosecret struct sb_buf a = {0}, b = {0}, c = {0};
    sb_autofree char *text = bearer(issuer, "repository:team/a:pull");
    CHECK_INT(challenge(auth, "repository:team/a:pull", text, NULL, &a), 1);
    CHECK_INT(header(auth, "repository:team/a:pull", &b), 1);
    CHECK_STR(a.data, b.data);
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 800000000}, NULL);
    /* Renewed before its end, which is after 2 s. */
    CHECK_INT(header(auth, "repository:team/a:pull", &b), 1);
    CHECK(strcmp(a.data, b.data) != 0);
    /* And when the registry finds that it has come to its end. */
    nanosleep(&(struct timespec){.tv_sec = 2, .tv_nsec = 100000000}, NULL);
    CHECK_INT(challenge(auth, "repository:team/a:pull", text, b.data, &c), 1);
    CHECK(strcmp(b.data, c.data) != 0);
    sb_auth_free(auth);
}

static void refusals(const struct issuer *issuer) {
    log_in_as("bob", "wrong password");
    struct sb_auth *auth = sb_auth_new(&settings);
    sb_autosecret struct sb_buf value = {0};
    sb_autofree char *text = bearer(issuer, "repository:team/a:pull");
    CHECK_INT(challenge(auth, "repository:team/a:pull", text, NULL, &value), -1);
    sb_autofree char *wanted = sb_format("registry " HOST " refused the credentials for \"bob\" "
                                         "(from %s/home/.docker/config.json)",
                                         dir);
    CHECK_STR(err.message, wanted);
    CHECK_STR(err.hint, "sbuild login " HOST);
    CHECK(err.reason != SB_REASON_PASSING);
    sb_auth_free(auth);

    log_out();
    auth = sb_auth_new(&settings);
    CHECK_INT(challenge(auth, "repository:team/a:pull", text, NULL, &value), -1);
    CHECK_STR(err.message, "registry " HOST " needs credentials");
    CHECK_STR(err.hint, "sbuild login " HOST);
    sb_auth_free(auth);
}

static void anonymous(const struct issuer *issuer) {
    log_out();
    struct sb_auth *auth = sb_auth_new(&settings);
    sb_autosecret struct sb_buf value = {0}, other = {0};
    sb_autofree char *text = bearer(issuer, "repository:public/a:pull");
    CHECK_INT(challenge(auth, "repository:public/a:pull", text, NULL, &value), 1);
    CHECK_LAST(issuer, "\"credentials\": false");
    CHECK_INT(challenge(auth, "repository:public/a:pull", text, value.data, &other), -1);
    CHECK_STR(err.message, "registry " HOST " needs credentials");
    sb_auth_free(auth);
}

/* A server that gives tokens for one scope at a time. */
static void one_scope(const struct issuer *issuer) {
    log_in_as("bob", "open sesame");
    struct sb_auth *auth = sb_auth_new(&settings);
    sb_autosecret struct sb_buf value = {0};
    sb_autofree char *text = bearer(issuer, "repository:team/a:pull");
    int start = requests(issuer, NULL);
    CHECK_INT(challenge(auth, "repository:team/a:pull", text, NULL, &value), 1);
    CHECK_INT(header(auth, "repository:team/b:pull", &value), 1);
    CHECK_INT(requests(issuer, NULL), start + 3); /* tried both, then one */
    CHECK_INT(header(auth, "repository:team/c:pull", &value), 1);
    CHECK_INT(header(auth, "repository:team/a:pull", &value), 1);
    CHECK_INT(requests(issuer, NULL), start + 4);
    sb_auth_free(auth);
}

static void put_identity(const char *auth, const char *token) {
    sb_autofree char *text = sb_format(
        "{\"auths\": {\"" HOST "\": {\"auth\": \"%s\", \"identitytoken\": \"%s\"}}}", auth, token);
    put("home/.docker/config.json", text, 0600);
}

static void identity_tokens(const struct issuer *oauth2, const struct issuer *without) {
    sb_autosecret struct sb_buf value = {0};
    sb_autofree char *text = bearer(oauth2, "repository:team/a:pull");
    sb_autofree char *old = bearer(without, "repository:team/a:pull");
    put_identity("Ym9iOg==", "refresh&me=1");
    struct sb_auth *auth = sb_auth_new(&settings);
    CHECK_INT(challenge(auth, "repository:team/a:pull repository:team/b:push", text, NULL, &value),
              1);
    CHECK_LAST(oauth2, "\"method\": \"POST\", \"grant\": \"refresh_token\", \"user\": \"bob\"");
    CHECK_LAST(oauth2, "[\"repository:team/a:pull\", \"repository:team/b:push\"]");
    sb_auth_free(auth);
    auth = sb_auth_new(&settings);
    CHECK_INT(challenge(auth, "repository:team/a:pull", old, NULL, &value), -1);
    sb_auth_free(auth);
    put_identity("Ym9iOm9wZW4gc2VzYW1l", "refresh&me=1"); /* bob:open sesame */
    auth = sb_auth_new(&settings);
    CHECK_INT(challenge(auth, "repository:team/a:pull", old, NULL, &value), 1);
    CHECK_LAST(without, "\"method\": \"GET\", \"grant\": \"basic\"");
    sb_auth_free(auth);
    put_identity("Ym9iOg==", "refused");
    auth = sb_auth_new(&settings);
    CHECK_INT(challenge(auth, "repository:team/a:pull", text, NULL, &value), -1);
    CHECK(strstr(err.message, "refused the credentials for \"bob\"") != NULL);
    sb_auth_free(auth);
    put("home/.docker/config.json", "{\"auths\": {\"" HOST "\": {\"registrytoken\": \"reg\"}}}",
        0600);
    auth = sb_auth_new(&settings);
    CHECK_INT(challenge(auth, "repository:team/a:pull", text, NULL, &value), 1);
    CHECK_STR(value.data, "Bearer reg");
    CHECK_INT(challenge(auth, "repository:team/a:pull", text, "Bearer reg", &value), -1);
    sb_auth_free(auth);
}

static void repositories_of_their_own(const struct issuer *issuer) {
    put("home/.docker/config.json",
        "{\"auths\": {\"" HOST "/eve\": {\"auth\": \"ZXZlOmVwdw==\"}," /* eve:epw */
        " \"" HOST "\": {\"auth\": \"Ym9iOm9wZW4gc2VzYW1l\"}}}",
        0600);
    struct sb_auth *auth = sb_auth_new(&settings);
    sb_autosecret struct sb_buf value = {0};
    sb_autofree char *text = bearer(issuer, NULL);
    CHECK_INT(challenge(auth, "repository:team/a:pull", text, NULL, &value), 1);
    CHECK_LAST(issuer, "\"user\": \"bob\"");
    CHECK_INT(header(auth, "repository:eve/a:pull", &value), 0);
    CHECK_INT(challenge(auth, "repository:eve/a:pull", text, NULL, &value), 1);
    CHECK_LAST(issuer, "\"user\": \"eve\", \"service\": \"registry\", "
                       "\"scopes\": [\"repository:eve/a:pull\"]");
    sb_auth_free(auth);
}

/* ---- threads ---- */

struct shared {
    struct sb_auth *auth;
    char *text;
    pthread_barrier_t start;
};

static void *ask(void *data) {
    struct shared *shared = data;
    struct sb_auth_request request = {HOST, ORIGIN, "repository:team/a:pull"};
    sb_autosecret struct sb_buf value = {0};
    sb_autostrings struct sb_strings headers = {0};
    sb_strings_addf(&headers, "www-authenticate: %s", shared->text);
    pthread_barrier_wait(&shared->start);
    struct sb_error mine = {0};
    return (void *)(intptr_t)sb_auth_challenge(shared->auth, &request, &headers, NULL, &value,
                                               &mine);
}

static void one_thread_fetches(const struct issuer *issuer) {
    enum { THREADS = 8 };
    log_in_as("bob", "open sesame");
    struct shared shared = {.auth = sb_auth_new(&settings), .text = bearer(issuer, NULL)};
    pthread_barrier_init(&shared.start, NULL, THREADS);
    int start = requests(issuer, NULL);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, ask, &shared), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        CHECK_INT((intptr_t)result, 1);
    }
    CHECK_INT(requests(issuer, NULL), start + 1);
    pthread_barrier_destroy(&shared.start);
    sb_auth_free(shared.auth);
    free(shared.text);
}

/* ---- Basic, and what isn't answered ---- */

static void basic(void) {
    sb_autosecret struct sb_buf value = {0}, again = {0};
    log_in_as("bob", "open sesame");
    struct sb_auth *auth = sb_auth_new(&settings);
    CHECK_INT(header(auth, NULL, &value), 0);
    CHECK_INT(challenge(auth, NULL, "Basic realm=\"x\"", NULL, &value), 1);
    CHECK_STR(value.data, "Basic Ym9iOm9wZW4gc2VzYW1l");
    CHECK_INT(header(auth, "repository:a:pull", &again), 1);
    CHECK_STR(again.data, value.data);
    CHECK_INT(challenge(auth, NULL, "Basic realm=\"x\"", value.data, &again), -1);
    CHECK(strstr(err.message, "refused the credentials for \"bob\" (from ") != NULL);
    CHECK(!strstr(err.message, "sesame") && !strstr(err.message, "Ym9i"));
    sb_auth_free(auth);
    log_out();
    auth = sb_auth_new(&settings);
    CHECK_INT(challenge(auth, NULL, "Basic realm=\"x\"", NULL, &value), -1);
    CHECK_STR(err.message, "registry " HOST " needs credentials");
    CHECK_INT(header(auth, NULL, &value), 0);
    sb_auth_free(auth);
}

/* A helper whose passwords last for one call only. */
static void passwords_change(void) {
    put("bin/docker-credential-count",
        "#!/bin/sh\nn=$(cat ${0%/*}/n 2>/dev/null || echo 0); echo $((n + 1)) >${0%/*}/n\n"
        "printf '{\"Username\": \"u\", \"Secret\": \"p%s\"}' $n\n",
        0755);
    put("home/.docker/config.json", "{\"credsStore\": \"count\"}", 0600);
    struct sb_auth *auth = sb_auth_new(&settings);
    sb_autosecret struct sb_buf first = {0}, second = {0};
    CHECK_INT(challenge(auth, NULL, "Basic realm=\"x\"", NULL, &first), 1);
    CHECK_STR(first.data, "Basic dTpwMA==");
    CHECK_INT(header(auth, NULL, &second), 1);
    CHECK_STR(second.data, first.data);
    CHECK_INT(challenge(auth, NULL, "Basic realm=\"x\"", first.data, &second), 1);
    CHECK_STR(second.data, "Basic dTpwMQ==");
    sb_auth_free(auth);
    put("home/.docker/config.json", "{\"credsStore\": \"missing\"}", 0600);
    auth = sb_auth_new(&settings);
    CHECK_INT(challenge(auth, NULL, "Basic realm=\"x\"", NULL, &first), -1);
    CHECK_INT(err.code, SB_E_NETWORK);
    CHECK(strstr(err.message, "docker-credential-missing") && strstr(err.hint, "config.json"));
    sb_auth_free(auth);
    put("home/.docker/config.json", "{}", 0600);
}

static void not_answered(void) {
    log_in_as("bob", "open sesame");
    struct sb_auth *auth = sb_auth_new(&settings);
    sb_autosecret struct sb_buf value = {0};
    CHECK_INT(challenge(auth, NULL, NULL, NULL, &value), 0);
    CHECK_INT(challenge(auth, NULL, "Negotiate", NULL, &value), -1);
    CHECK(strstr(err.message, "\"negotiate\"") != NULL);
    CHECK_INT(challenge(auth, NULL, "Bearer realm=\"x", NULL, &value), -1);
    CHECK_INT(challenge(auth, NULL, "Bearer service=x", NULL, &value), -1);
    CHECK_INT(challenge(auth, NULL, "Bearer realm=\"http://169.254.169.254/\"", NULL, &value), -1);
    CHECK(err.reason != SB_REASON_PASSING);
    CHECK_INT(challenge(auth, NULL, "Bearer realm=\"http://127.0.0.1:1/\"", NULL, &value), -1);
    CHECK_INT(err.reason, SB_REASON_PASSING); /* it may come back */
    CHECK(strstr(err.message, "a token for registry " HOST) != NULL);
    /* Nothing goes out in the clear, whatever was asked for. */
    struct sb_auth_request clear = {"r.example.com", "http://r.example.com", NULL};
    sb_autostrings struct sb_strings headers = {0};
    sb_strings_add(&headers, "www-authenticate: Basic realm=\"x\"");
    CHECK_INT(sb_auth_challenge(auth, &clear, &headers, NULL, &value, &err), -1);
    CHECK(strstr(err.message, "without TLS") && strstr(err.hint, "plain_http"));
    CHECK(!value.len);
    sb_auth_free(auth);
}

int main(void) {
    sb_autofree char *python = sb_process_find("python3"), *openssl = sb_process_find("openssl");
    if (!python || !openssl) {
        TEST_SKIP("python3 or openssl is not installed");
        return test_done();
    }
    if (!CHECK(mkdtemp(dir) != NULL))
        return test_done();
    sb_autofree char *home = at("home"), *bin = at("bin");
    sb_autofree char *path = sb_format("%s:%s", bin, getenv("PATH"));
    setenv("HOME", home, 1);
    setenv("PATH", path, 1);
    unsetenv("DOCKER_CONFIG");
    unsetenv("REGISTRY_AUTH_FILE");
    unsetenv("XDG_RUNTIME_DIR");
    put("users", "bob:open sesame\neve:epw:eve/*=pull\ntoken:refresh&me=1:bob\n", 0600);
    curl_global_init(CURL_GLOBAL_ALL);
    static const char *const public_options[] = {"--anonymous", "public/*=pull", "--oauth2", NULL};
    static const char *const short_options[] = {"--expires", "2", NULL};
    static const char *const one_options[] = {"--one-scope", "--field", "access_token", NULL};
    struct issuer plain = start_issuer("plain", NULL);
    struct issuer public = start_issuer("public", public_options);
    struct issuer brief = start_issuer("brief", short_options);
    struct issuer one = start_issuer("one", one_options);
    if (plain.realm && public.realm && brief.realm && one.realm) {
        tokens_are_kept(&plain);
        tokens_expire(&brief);
        refusals(&plain);
        anonymous(&public);
        one_scope(&one);
        identity_tokens(&public, &plain);
        repositories_of_their_own(&plain);
        one_thread_fetches(&plain);
        basic();
        passwords_change();
        not_answered();
    }
    stop_issuer(&plain);
    stop_issuer(&public);
    stop_issuer(&brief);
    stop_issuer(&one);
    curl_global_cleanup();
    CHECK(sb_tree_remove(AT_FDCWD, dir, NULL) == 0);
    return test_done();
}
