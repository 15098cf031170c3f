#include "base/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"

#define HEAD_LIMIT (16u << 10) /* of what comes before the status, and its line */
#define PAGE_MOST  (64u << 10) /* that is taken, so that a server can end its answer */
#define PAGE_TIME  0.25        /* seconds, likewise */

/* Until a socket is ready; SB_E_INTERRUPTED, or SB_E_UNHEALTHY when the time is over. */
static int wait_for(int fd, short events, double until, struct sb_error *err) {
    double left = until - sb_clock_seconds();
    struct pollfd ready[] = {{.fd = fd, .events = events},
                             {.fd = sb_interrupt_fd(), .events = POLLIN}};
    int n = left > 0 ? poll(ready, 2, (int)(left * 1000) + 1) : 0;
    if (sb_interrupt_check(err) < 0)
        return -1;
    if (n < 0 && errno != EINTR)
        return sb_fail_errno(err, SB_E_UNHEALTHY, "waiting for an answer");
    return n != 0 ? 0 : sb_fail(err, SB_E_UNHEALTHY, "no answer in its time");
}

/* ---- connecting ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Where nothing listens, a socket that the kernel gave that very port is connected to itself. */
static bool is_to_itself(int fd) {
    union address own = {0}, peer = {0};
    socklen_t own_size = sizeof own, peer_size = sizeof peer;
    return getsockname(fd, &own.any, &own_size) < 0 || getpeername(fd, &peer.any, &peer_size) < 0 ||
           own.v4.sin_port == peer.v4.sin_port;
}

static int connect_to(const union address *to, socklen_t size, double until, struct sb_error *err) {
    int error = 0;
    socklen_t len = sizeof error;
    sb_autoclose int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_UNHEALTHY, "making a socket");
    if (connect(fd, &to->any, size) < 0) {
        if (errno != EINPROGRESS)
            return sb_fail_errno(err, SB_E_UNHEALTHY, "connecting");
        if (wait_for(fd, POLLOUT, until, err) < 0)
            return -1;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || (errno = error))
            return sb_fail_errno(err, SB_E_UNHEALTHY, "connecting");
    }
    if (is_to_itself(fd))
        return sb_fail(err, SB_E_UNHEALTHY, "connecting: Connection refused");
    return sb_steal_fd(&fd);
}

/* What is wrong with IPv4 is what is told: that is what most listen on. */
static int connect_any(uint16_t port, double until, struct sb_error *err) {
    const union address v4 = {.v4 = {.sin_family = AF_INET,
                                     .sin_port = htons(port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    const union address v6 = {.v6 = {.sin6_family = AF_INET6,
                                     .sin6_port = htons(port),
                                     .sin6_addr = IN6ADDR_LOOPBACK_INIT}};
    struct sb_error ignored = {0};
    int fd = connect_to(&v4, sizeof v4.v4, until, err);
    if (fd >= 0 || err->code == SB_E_INTERRUPTED)
        return fd;
    fd = connect_to(&v6, sizeof v6.v6, until, &ignored);
    if (fd >= 0)
        sb_error_clear(err);
    return fd;
}

bool sb_loopback_accepts(uint16_t port, double seconds) {
    struct sb_error ignored = {0};
    sb_autoclose int fd = connect_any(port, sb_clock_seconds() + seconds, &ignored);
    return fd >= 0;
}

/* ---- asking ---- */

static int line_status(const char *line, size_t len) {
    static const char start[] = "HTTP/";
    const char *space = memchr(line, ' ', len);
    if (len < 12 || strncmp(line, start, strlen(start)) != 0 || !space || line + len - space < 4)
        return -1;
    int status = 0;
    for (int i = 1; i <= 3; i++) {
        if (space[i] < '0' || space[i] > '9')
            return -1;
        status = status * 10 + space[i] - '0';
    }
    bool whole = space + 4 == line + len || space[4] == ' ' || space[4] == '\r';
    return whole && status >= 100 ? status : -1;
}

/* Behind the empty line that ends a head; NULL: it has not come yet. */
static const char *after_head(const char *text, size_t len) {
    for (size_t i = 0; i + 1 < len; i++)
        if (text[i] == '\n' &&
            (text[i + 1] == '\n' || (text[i + 1] == '\r' && i + 2 < len && text[i + 2] == '\n')))
            return text + i + (text[i + 1] == '\n' ? 2 : 3);
    return NULL;
}

int sb_loopback_status(const char *text, size_t len) {
    for (const char *end = text + len;;) {
        size_t left = (size_t)(end - text);
        const char *newline = memchr(text, '\n', left);
        if (!newline)
            return left > 5 && strncmp(text, "HTTP/", 5) != 0 ? -1 : 0;
        int status = line_status(text, (size_t)(newline - text));
        if (status < 0 || status >= 200 || status == 101)
            return status;
        if (!(text = after_head(text, left)))
            return 0;
    }
}

static int send_all(int fd, const char *text, double until, struct sb_error *err) {
    for (size_t len = strlen(text); len > 0;) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return sb_fail_errno(err, SB_E_UNHEALTHY, "asking");
        if (n < 0 && wait_for(fd, POLLOUT, until, err) < 0)
            return -1;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

/* 0: the end; -1 and err, as wait_for. */
static ssize_t receive(int fd, void *bytes, size_t size, double until, struct sb_error *err) {
    for (;;) {
        ssize_t n = recv(fd, bytes, size, 0);
        if (n >= 0)
            return n;
        if (errno != EAGAIN && errno != EINTR)
            return sb_fail_errno(err, SB_E_UNHEALTHY, "reading its answer");
        if (wait_for(fd, POLLIN, until, err) < 0)
            return -1;
    }
}

static int read_status(int fd, double until, int *out, struct sb_error *err) {
    char text[HEAD_LIMIT];
    for (size_t len = 0; len < sizeof text;) {
        ssize_t n = receive(fd, text + len, sizeof text - len, until, err);
        if (n < 0)
            return -1;
        len += (size_t)n;
        int status = sb_loopback_status(text, len);
        if (status > 0) {
            *out = status;
            return 0;
        }
        if (status < 0)
            break;
        if (n == 0)
            return sb_fail(err, SB_E_UNHEALTHY, "it closed the connection without an answer");
    }
    return sb_fail(err, SB_E_UNHEALTHY, "what it answers is not HTTP");
}

/* A server whose answer is cut off may tell that as an error. */
static void take_page(int fd) {
    char bytes[4096];
    struct sb_error ignored = {0};
    double until = sb_clock_seconds() + PAGE_TIME;
    for (size_t sum = 0; sum < PAGE_MOST;) {
        ssize_t n = receive(fd, bytes, sizeof bytes, until, &ignored);
        if (n <= 0)
            return;
        sum += (size_t)n;
    }
}

int sb_loopback_get(const struct sb_loopback_get *get, int *out_status, struct sb_error *err) {
    double until = sb_clock_seconds() + get->seconds;
    sb_autofree char *host =
        get->host ? sb_strdup(get->host) : sb_format("localhost:%u", get->port);
    sb_autofree char *text = sb_format("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sbuild/%s\r\n"
                                       "Accept: */*\r\nConnection: close\r\n\r\n",
                                       get->path, host, SB_VERSION);
    sb_autoclose int fd = connect_any(get->port, until, err);
    if (fd < 0 || send_all(fd, text, until, err) < 0 || read_status(fd, until, out_status, err) < 0)
        return -1;
    take_page(fd);
    return 0;
}
