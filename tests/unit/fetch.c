/* Downloads by digest, against a server that serves, redirects, breaks off and lies. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "sandbox/contain.h"
#include "sandbox/userns.h"
#include "steps/away.h"
#include "steps/fetch.h"
#include "tests/unit/test.h"

static const char content[] = "0123456789abcdefghij";
enum { LENGTH = sizeof content - 1 };

/* ---- the server ---- */

static void say(int fd, const char *text) {
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void answer(int fd) {
    char request[4096] = "";
    ssize_t n = read(fd, request, sizeof request - 1);
    request[n > 0 ? n : 0] = '\0';
    sb_autofree char *whole =
        sb_format("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", LENGTH);
    const char *range = strstr(request, "Range: bytes=");
    if (!strncmp(request, "GET /good", 9)) {
        say(fd, whole);
        say(fd, content);
    } else if (!strncmp(request, "GET /moved", 10)) {
        say(fd, "HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n"
                "Connection: close\r\n\r\n");
    } else if (!strncmp(request, "GET /passwd", 11)) {
        say(fd, "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n"
                "Connection: close\r\n\r\n");
    } else if (!strncmp(request, "GET /broken", 11) && range) {
        int from = atoi(range + strlen("Range: bytes="));
        sb_autofree char *rest =
            sb_format("HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n"
                      "Content-Range: bytes %d-%d/%d\r\nConnection: close\r\n\r\n%s",
                      LENGTH - from, from, LENGTH - 1, LENGTH, content + from);
        say(fd, rest);
    } else if (!strncmp(request, "GET /broken", 11)) {
        say(fd, whole);
        say(fd, "0123456789");
    } else {
        say(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}

static pid_t start_server(int *out_port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    CHECK(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 16) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    *out_port = ntohs(address.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        for (;;) {
            int fd = accept(listener, NULL, NULL);
            if (fd < 0)
                _exit(0);
            answer(fd);
            close(fd);
        }
    }
    close(listener);
    return pid;
}

/* ---- */

static struct sb_store *store;
static int port;

static int fetch(const char *path, const char *expected, struct sb_buf *out, struct sb_error *err) {
    struct sb_step_log log = {.fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .path = "log"};
    struct sb_digest digest = sb_digest_of(expected, strlen(expected));
    sb_autofree char *url = sb_format("http://127.0.0.1:%d/%s", port, path);
    sb_error_clear(err);
    sb_autoclose int fd = sb_fetch(store, NULL, url, &digest, 60, &log, err);
    close(log.fd);
    sb_buf_free(&log.tail);
    if (fd < 0)
        return -1;
    return sb_fd_read(fd, 4096, out, NULL);
}

static void check_good(const char *path) {
    sb_autobuf struct sb_buf got = {0};
    struct sb_error err;
    CHECK_INT(fetch(path, content, &got, &err), 0);
    CHECK_STR(err.message, "");
    CHECK_STR(sb_buf_text(&got), content);
}

static void forget(void) {
    struct sb_digest digest = sb_digest_of(content, LENGTH);
    sb_autofree char *path = sb_format("caches/downloads/%s", sb_digest_hex(&digest).text);
    CHECK(unlinkat(sb_store_private_fd(store), path, 0) == 0);
}

static void test_fetching(pid_t server) {
    struct sb_error err;
    sb_autobuf struct sb_buf none = {0};
    check_good("good");
    forget();
    check_good("moved");
    forget();
    check_good("broken"); /* goes on where it stopped */
    CHECK(fetch("good?token=hush", "something else", &none, &err) < 0);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    struct sb_digest is = sb_digest_of(content, LENGTH),
                     should = sb_digest_of("something else", 14);
    CHECK(strstr(err.message, sb_digest_text(&is).text) != NULL);
    CHECK(strstr(err.message, sb_digest_text(&should).text) != NULL);
    CHECK(!strstr(err.message, "hush"));
    CHECK(fetch("passwd", "x", &none, &err) < 0);
    CHECK_INT(err.code, SB_E_NETWORK);
    CHECK(fetch("missing", "x", &none, &err) < 0);
    CHECK_INT(err.code, SB_E_NETWORK);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    check_good("good"); /* kept */
}

/* A kept file that is damaged is not used. */
static void test_damage(void) {
    struct sb_digest digest = sb_digest_of(content, LENGTH);
    sb_autofree char *path = sb_format("caches/downloads/%s", sb_digest_hex(&digest).text);
    sb_autobuf struct sb_buf none = {0};
    struct sb_error err;
    CHECK(sb_file_write(sb_store_private_fd(store), path, "damaged", 7, 0644, NULL) == 0);
    CHECK(fetch("good", content, &none, &err) < 0);
    CHECK_INT(err.code, SB_E_NETWORK); /* the server is gone */
}

static void check_retries(const char *patience, unsigned apt, unsigned pip) {
    setenv("SBUILD_PATIENCE", patience, 1);
    CHECK_INT(sb_away_apt_retries(NULL), apt);
    CHECK_INT(sb_away_pip_retries(NULL), pip);
}

/* What apt and pip are told to do themselves. */
static void test_retries(void) {
    const char *before = getenv("SBUILD_PATIENCE");
    sb_autofree char *kept = before ? sb_strdup(before) : NULL;
    check_retries("0s", 0, 0);
    check_retries("1s", 1, 3);
    check_retries("2s", 2, 4);
    check_retries("3m", 10, 10);
    check_retries("10m", 24, 13);
    if (kept)
        setenv("SBUILD_PATIENCE", kept, 1);
    else
        unsetenv("SBUILD_PATIENCE");
}

static void test_public_url(void) {
    sb_autofree char *secret = sb_fetch_public_url("https://me:pass@host/a@b?token=1#x");
    CHECK_STR(secret, "https://host/a@b");
    sb_autofree char *plain = sb_fetch_public_url("http://host");
    CHECK_STR(plain, "http://host");
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], SB_CONTAIN_COMMAND))
        return sb_contain_main(argc - 1, argv + 1);
    struct sb_error err = {0};
    test_public_url();
    test_retries();
    unsetenv("http_proxy");
    if (sb_userns_enter(&err) < 0) {
        printf("fetch: not tested: %s\n", err.message);
        return test_done();
    }
    char directory[] = "/var/tmp/sb-fetch-XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    CHECK_INT(sb_store_open(directory, &store, &err), 0);
    pid_t server = start_server(&port);
    test_fetching(server);
    test_damage();
    sb_store_close(store);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, NULL), 0);
    return test_done();
}
