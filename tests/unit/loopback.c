/* base/loopback: answers of all kinds, from servers on IPv4 and IPv6. */
#include "base/loopback.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/test.h"

static void test_status(void) {
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n", 200},
        {"HTTP/1.0 404 Not Found\n", 404},
        {"HTTP/1.1 204\r\n", 204},
        {"HTTP/1.1 503 \r\n\r\n", 503},
        {"HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\n\r\n", 302},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n", 201},
        {"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n", 200},
        {"HTTP/1.1 100 Continue\r\n\r\n", 0},
        {"HTTP/1.1 100 Continue\r\nA: b\r\n", 0},
        {"HTTP/1.1 200 OK", 0},
        {"", 0},
        {"HT", 0},
        {"SSH-2.0-x\r\n", -1},
        {"<html>", -1},
        {"HTTP/1.1 20\r\n", -1},
        {"HTTP/1.1 2000 OK\r\n", -1},
        {"HTTP/1.1 2x0 OK\r\n", -1},
        {"HTTP/1.1\r\n", -1},
        {"HTTP/1.1 099 X\r\n", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!CHECK_INT(sb_loopback_status(cases[i].text, strlen(cases[i].text)), cases[i].status))
            printf("    %s\n", cases[i].text);
}

/* ---- a server ---- */

static uint16_t port;

static int listen_at(int family) {
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr *address = family == AF_INET ? (void *)&v4 : (void *)&v6;
    socklen_t size = family == AF_INET ? sizeof v4 : sizeof v6;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, address, size) < 0 || listen(fd, 5) < 0 ||
        getsockname(fd, address, &size) < 0)
        return -1;
    port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
    return fd;
}

/* Answers once: when the request has what is wanted, after so many milliseconds. */
static void serve(int fd, const char *wanted, int delay, const char *answer) {
    char request[4096];
    int connection = accept(fd, NULL, NULL);
    ssize_t n = read(connection, request, sizeof request - 1);
    request[n > 0 ? n : 0] = '\0';
    poll(NULL, 0, delay);
    const char *text = strstr(request, wanted) ? answer : "HTTP/1.1 400 Bad\r\n\r\n";
    ssize_t sent = write(connection, text, strlen(text));
    (void)sent;
    _exit(0);
}

static int ask(int family, const char *wanted, int delay, const char *answer,
               struct sb_loopback_get get, struct sb_error *err) {
    int status = 0, fd = listen_at(family);
    if (fd < 0)
        return -2;
    pid_t pid = fork();
    if (pid == 0)
        serve(fd, wanted, delay, answer);
    close(fd);
    get.port = port;
    if (sb_loopback_get(&get, &status, err) < 0)
        status = -1;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return status;
}

static void test_asking(void) {
    static const char fine[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    struct sb_error err = {0};
    const struct sb_loopback_get get = {.path = "/health", .seconds = 5};
    const struct sb_loopback_get hosted = {.path = "/", .host = "api.example.com", .seconds = 5};
    const struct sb_loopback_get hasty = {.path = "/", .seconds = 0.3};
    CHECK_INT(ask(AF_INET, "GET /health HTTP/1.1\r\nHost: localhost:", 0, fine, get, &err), 200);
    CHECK_INT(ask(AF_INET, "\r\nHost: api.example.com\r\n", 0, fine, hosted, &err), 200);
    CHECK_INT(ask(AF_INET, "", 600, fine, get, &err), 200);
    CHECK_INT(ask(AF_INET, "", 3000, fine, hasty, &err), -1);
    CHECK_INT(err.code, SB_E_UNHEALTHY);
    CHECK(strstr(err.message, "no answer in its time"));
    err = (struct sb_error){0};
    CHECK_INT(ask(AF_INET, "", 0, "", get, &err), -1);
    CHECK(strstr(err.message, "without an answer"));
    err = (struct sb_error){0};
    CHECK_INT(ask(AF_INET, "", 0, "220 mail ESMTP\r\n", get, &err), -1);
    CHECK(strstr(err.message, "not HTTP"));
    err = (struct sb_error){0};
    int six = ask(AF_INET6, "", 0, fine, get, &err);
    if (six == -2)
        TEST_SKIP("there is no IPv6 here");
    else
        CHECK_INT(six, 200);
}

static void test_nobody(void) {
    struct sb_error err = {0};
    int fd = listen_at(AF_INET), status;
    CHECK(sb_loopback_accepts(port, 1));
    close(fd);
    CHECK(!sb_loopback_accepts(port, 1));
    const struct sb_loopback_get get = {.port = port, .path = "/", .seconds = 1};
    CHECK_INT(sb_loopback_get(&get, &status, &err), -1);
    CHECK(strstr(err.message, "refused"));
}

int main(void) {
    test_status();
    test_asking();
    test_nobody();
    return test_done();
}
