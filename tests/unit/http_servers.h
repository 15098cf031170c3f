/*
 * tests/unit/http_servers: registry/http with the real sbuild-http, against servers that behave and
 * servers that don't (http_server.py).
 */
#ifndef SB_TESTS_UNIT_HTTP_SERVERS_H
#define SB_TESTS_UNIT_HTTP_SERVERS_H

#include "registry/http.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "tests/unit/test.h"

static char *dir;
static json_t *ports;
static struct sb_http *http; /* the one that most tests use: a stall is a second, no settings */

static inline char *host_of(const char *server) {
    return sb_format("127.0.0.1:%d", (int)sb_json_integer(ports, server, 0));
}

/* What one request gave. */
struct asked {
    int result;
    struct sb_http_response response;
    struct sb_error err;
    double seconds;
};

static inline void forget(struct asked *asked) {
    sb_http_response_free(&asked->response);
}
#define autoasked __attribute__((cleanup(forget)))

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline struct asked perform(struct sb_http *by, const struct sb_http_request *request) {
    struct asked asked = {0};
    double start = now();
    asked.result = sb_http_perform(by, request, &asked.response, &asked.err);
    asked.seconds = now() - start;
    return asked;
}

static inline struct asked ask(struct sb_http *by, const char *method, const char *host,
                               const char *target) {
    struct sb_http_request request = {.method = method, .host = host, .target = target};
    return perform(by, &request);
}

static inline struct asked get(const char *server, const char *target) {
    sb_autofree char *host = host_of(server);
    return ask(http, "GET", host, target);
}

static inline bool has(const struct asked *asked, const char *text) {
    bool found = strstr(sb_buf_text(&asked->response.body), text);
    if (!found)
        printf("    in: %s\n    %s\n", sb_buf_text(&asked->response.body), asked->err.message);
    return found;
}

/* It failed, in less than so many seconds, for that reason. */
static inline void check_failed(const struct asked *asked, enum sb_error_reason reason,
                                const char *message, int line) {
    if (asked->result == 0 || asked->err.code != SB_E_NETWORK ||
        (reason && asked->err.reason != reason) || !strstr(asked->err.message, message) ||
        asked->seconds > 5)
        printf("line %d: result %d, status %d, %s, reason %s, %.1f s: %s\n", line, asked->result,
               asked->response.status, sb_error_name(asked->err.code),
               sb_error_reason_name(asked->err.reason), asked->seconds, asked->err.message);
    CHECK(asked->result < 0);
    CHECK_INT(asked->err.code, SB_E_NETWORK);
    if (reason)
        CHECK_INT(asked->err.reason, reason);
    CHECK(strstr(asked->err.message, message));
    CHECK(asked->seconds < 5);
}
#define CHECK_FAILED(asked, reason, message) check_failed(&(asked), reason, message, __LINE__)

static inline pid_t start_servers(int *out_stdin) {
    struct sb_error err = {0};
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        return -1;
    const char *const argv[] = {"python3", "tests/unit/http_server.py", dir, NULL};
    struct sb_process_options process = {
        .argv = argv, .in = in[0], .out = out[1], .err = STDERR_FILENO};
    pid_t pid = sb_process_start(&process, &err);
    close(in[0]);
    close(out[1]);
    *out_stdin = in[1];
    FILE *lines = fdopen(out[0], "r");
    char line[4096];
    if (pid > 0 && lines && fgets(line, sizeof line, lines))
        ports = sb_json_parse(line, strlen(line), &err);
    if (lines)
        fclose(lines);
    return pid;
}

/* Makes the directory, starts the servers, runs the tests; the exit status. */
static inline int run_tests(const char *file, void (*const *tests)(void)) {
    char template[] = "/tmp/sb-http-XXXXXX";
    dir = mkdtemp(template);
    const char *build = getenv("SB_BUILD");
    sb_autofree char *program = sb_format("%s/sbuild-http", build ? build : "build/release");
    if (!getenv("SBUILD_HTTP"))
        setenv("SBUILD_HTTP", program, 1);
    if (access(getenv("SBUILD_HTTP"), X_OK) < 0) {
        TEST_SKIP("sbuild-http is not built");
        test_file = file;
        return test_done();
    }
    sb_autofree char *home = sb_format("%s/home", dir);
    setenv("HOME", home, 1);
    unsetenv("XDG_CONFIG_HOME");
    static const char *const proxies[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                          "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        unsetenv(proxies[i]);
    int servers_stdin = -1;
    pid_t servers = start_servers(&servers_stdin);
    if (CHECK(ports)) {
        struct sb_http_options options = {.stall_seconds = 1};
        http = sb_http_new(&options);
        for (; *tests; tests++)
            (*tests)();
    }
    json_decref(ports);
    close(servers_stdin);
    if (servers > 0)
        kill(servers, SIGTERM);
    struct sb_error err = {0};
    sb_tree_remove(AT_FDCWD, dir, &err);
    test_file = file;
    return test_done();
}

#endif
