#include "deploy/health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "deploy/inside.h"
#include "deploy/systemd.h"
#include "registry/http.h"

#define PROBE_SECONDS   5    /* one answer may take that long */
#define PAGE_ENOUGH     4096 /* bytes */
#define COMMAND_SECONDS 30   /* one command */
#define STEADY_SECONDS  2    /* how long without any check it must stay up */
#define RESTARTS_LIMIT  5    /* systemd had to start it again so often */
#define NAP_LEAST       20   /* milliseconds */
#define NAP_MOST        250
#define LOOK_EVERY      0.25 /* seconds, between questions to systemd while the check fails */

struct watch {
    const struct sb_health *health;
    struct sb_http *http;
    struct sb_registry_host host;
    struct sb_registry_hosts hosts;
    struct sb_unit_status status;
    double looked;
    struct sb_confine confine; /* of the command, once it was asked for */
    bool confined;
};

static uint16_t port_of(const struct sb_health *health) {
    const struct sb_description *d = health->description;
    if (d->health_tcp && d->health_tcp != d->port)
        return d->health_tcp;
    return health->port ? health->port : d->port;
}

/* ---- the checks ---- */

/* The status is the answer: of a page, as long as it may be, only the beginning is read. */
struct page {
    int status;
    size_t bytes;
};

static int note_status(void *data, const struct sb_http_response *response, struct sb_error *err) {
    struct page *page = data;
    (void)err;
    page->status = response->status;
    return 0;
}

static int pass_over(void *data, const void *bytes, size_t len, struct sb_error *err) {
    struct page *page = data;
    (void)bytes;
    page->bytes += len;
    return page->bytes > PAGE_ENOUGH ? sb_fail(err, SB_E_FAILED, "the page is long") : 0;
}

static int probe_http(struct watch *w, struct sb_error *err) {
    const char *path = w->health->description->health_http;
    sb_autofree char *url = sb_format("http://%s%s", w->host.host, path);
    struct page page = {0};
    const struct sb_http_request request = {.method = "GET",
                                            .host = w->host.host,
                                            .target = url,
                                            .sink = pass_over,
                                            .head = note_status,
                                            .data = &page,
                                            .wait_seconds = PROBE_SECONDS};
    struct sb_http_response response = {0};
    struct sb_error own = {0};
    int rc = sb_http_perform(w->http, &request, &response, &own);
    int status = response.status;
    sb_http_response_free(&response);
    if (rc < 0 && page.bytes > PAGE_ENOUGH) {
        rc = 0;
        status = page.status;
    }
    if (rc < 0 && own.code == SB_E_INTERRUPTED) {
        *err = own;
        return -1;
    }
    if (rc < 0)
        return sb_fail(err, SB_E_UNHEALTHY, "%s does not answer: %.500s", url, own.message);
    if (status >= 200 && status < 400)
        return 0;
    return sb_fail(err, SB_E_UNHEALTHY, "%s answers %d", url, status);
}

static bool is_connected(int fd, const void *address, socklen_t size) {
    if (connect(fd, address, size) == 0)
        return true;
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof error;
    return errno == EINPROGRESS && poll(&ready, 1, PROBE_SECONDS * 1000) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

/* Where nothing listens, a socket that the kernel gave that very port is connected to itself. */
static bool connects(int family, const void *address, socklen_t size) {
    sb_autoclose int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in6 own = {0}, peer = {0}; /* the larger one */
    socklen_t own_size = sizeof own, peer_size = sizeof peer;
    return fd >= 0 && is_connected(fd, address, size) &&
           getsockname(fd, (struct sockaddr *)&own, &own_size) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0 &&
           own.sin6_port != peer.sin6_port;
}

bool sb_health_answers(uint16_t port) {
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
    return connects(AF_INET, &v4, sizeof v4) || connects(AF_INET6, &v6, sizeof v6);
}

static int probe_tcp(const struct watch *w, struct sb_error *err) {
    uint16_t port = port_of(w->health);
    return sb_health_answers(port)
               ? 0
               : sb_fail(err, SB_E_UNHEALTHY, "nothing listens on port %u", port);
}

static int wait_bounded(pid_t pid, struct sb_error *err) {
    double until = sb_clock_seconds() + COMMAND_SECONDS;
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
        if (sb_clock_seconds() > until || sb_interrupt_signal()) {
            kill(-pid, SIGKILL);
            waitpid(pid, &status, 0);
            return sb_fail(err, SB_E_UNHEALTHY, "its health command takes more than %d s",
                           COMMAND_SECONDS);
        }
        poll(NULL, 0, 5);
    }
    if (ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return sb_fail(err, SB_E_UNHEALTHY, "its health command fails with status %d",
                   WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static int probe_command(struct watch *w, struct sb_error *err) {
    if (!w->confined && sb_confine_read(w->health->unit, &w->confine, err) < 0)
        return -1;
    w->confined = true;
    pid_t child = sb_inside_start(w->status.main_pid, w->health->unit, &w->confine,
                                  w->health->description->health_command, err);
    return child < 0 ? -1 : wait_bounded(child, err);
}

/* ---- what systemd says ---- */

static bool is(const char *a, const char *b) {
    return !strcmp(a, b);
}

static bool runs_to_its_end(const struct watch *w) {
    return w->health->description->type == SB_SERVICE_JOB;
}

/* 0: as it should be. SB_E_UNHEALTHY: not yet; *out_over: and it will not be. */
static int look(struct watch *w, bool *out_over, struct sb_error *err) {
    struct sb_unit_status *s = &w->status;
    *out_over = false;
    w->looked = sb_clock_seconds();
    if (sb_systemd_status(w->health->unit, s, err) < 0) {
        *out_over = true;
        return -1;
    }
    if (s->main_pid && s->main_pid == w->health->not_process)
        return sb_fail(err, SB_E_UNHEALTHY, "the old process still ends");
    if (is(s->active, "failed")) {
        *out_over = true;
        return sb_fail(err, SB_E_UNHEALTHY, "its process failed (%s)", s->result);
    }
    if (s->restarts >= RESTARTS_LIMIT) {
        *out_over = true;
        return sb_fail(err, SB_E_UNHEALTHY, "its process ended %u times", s->restarts);
    }
    if (runs_to_its_end(w) && is(s->active, "inactive") && is(s->result, "success"))
        return 0;
    if (is(s->active, "active") && !is(s->sub, "auto-restart"))
        return 0;
    *out_over = is(s->active, "inactive") && is(s->sub, "dead") && !runs_to_its_end(w) &&
                is(s->result, "success") && w->health->description->restart != SB_RESTART_ALWAYS;
    return sb_fail(err, SB_E_UNHEALTHY, "it is %s (%s)", s->active, s->sub);
}

static int check(struct watch *w, struct sb_error *err) {
    const struct sb_description *d = w->health->description;
    if (runs_to_its_end(w))
        return 0;
    if (d->health_http)
        return probe_http(w, err);
    if (d->health_tcp)
        return probe_tcp(w, err);
    return d->health_command ? probe_command(w, err) : 0;
}

static bool has_check(const struct sb_description *d) {
    return d->health_http || d->health_tcp || d->health_command || d->type == SB_SERVICE_NOTIFY ||
           d->type == SB_SERVICE_JOB;
}

static void start_watch(struct watch *w, const struct sb_health *health) {
    *w = (struct watch){.health = health};
    w->host.host = sb_format("127.0.0.1:%u", port_of(health));
    w->host.plain_http = true;
    w->hosts = (struct sb_registry_hosts){.v = &w->host, .n = 1};
    const struct sb_http_options options = {.hosts = &w->hosts, .stall_seconds = PROBE_SECONDS};
    w->http = health->description->health_http ? sb_http_new(&options) : NULL;
}

static void end_watch(struct watch *w) {
    sb_http_free(w->http);
    sb_confine_free(&w->confine);
    free(w->host.host);
}

/* One round: systemd is asked when the check has passed, and now and then while it does not. */
static int round_once(struct watch *w, bool *out_over, struct sb_error *err) {
    const struct sb_description *d = w->health->description;
    bool first = d->health_http || d->health_tcp;
    *out_over = false;
    if (first && check(w, err) < 0) {
        struct sb_error of_unit = {0};
        if (err->code != SB_E_UNHEALTHY)
            *out_over = true;
        else if (sb_clock_seconds() - w->looked > LOOK_EVERY && look(w, out_over, &of_unit) < 0 &&
                 *out_over)
            *err = of_unit;
        return -1;
    }
    if (look(w, out_over, err) < 0)
        return -1;
    if (first)
        return 0;
    int rc = check(w, err);
    if (rc < 0 && err->code != SB_E_UNHEALTHY)
        *out_over = true;
    return rc;
}

/* ---- waiting ---- */

static double time_allowed(const struct sb_health *health) {
    const struct sb_description *d = health->description;
    if (health->wait)
        return health->wait;
    if (d->type == SB_SERVICE_JOB)
        return (double)d->start_timeout + d->health_timeout;
    return d->type == SB_SERVICE_NOTIFY ? (double)d->start_timeout + d->health_timeout
                                        : d->health_timeout;
}

static int stay_up(struct watch *w, struct sb_error *err) {
    pid_t pid = w->status.main_pid;
    double until = sb_clock_seconds() + STEADY_SECONDS;
    while (sb_clock_seconds() < until) {
        bool over;
        if (sb_interrupt_check(err) < 0)
            return -1;
        poll(NULL, 0, 200);
        if (look(w, &over, err) < 0)
            return -1;
        if (w->status.main_pid != pid)
            return sb_fail(err, SB_E_UNHEALTHY, "its process ended, and was started again");
    }
    return 0;
}

static int wait_until(struct watch *w, struct sb_error *err) {
    double allowed = time_allowed(w->health), until = sb_clock_seconds() + allowed;
    bool over = false;
    for (int nap = NAP_LEAST;; nap = nap * 3 / 2 < NAP_MOST ? nap * 3 / 2 : NAP_MOST) {
        struct sb_error of_round = {0};
        if (sb_interrupt_check(err) < 0)
            return -1;
        if (round_once(w, &over, &of_round) == 0)
            return 0;
        if (over || sb_clock_seconds() > until) {
            *err = of_round;
            return over ? -1
                        : sb_error_context(err, "not healthy within %s",
                                           sb_text_seconds(allowed).text);
        }
        struct pollfd interrupted = {.fd = sb_interrupt_fd(), .events = POLLIN};
        poll(&interrupted, 1, nap);
    }
}

int sb_health_wait(const struct sb_health *health, struct sb_error *err) {
    struct watch w;
    start_watch(&w, health);
    int rc = wait_until(&w, err);
    if (rc == 0 && !has_check(health->description))
        rc = stay_up(&w, err);
    end_watch(&w);
    return rc;
}

int sb_health_probe(const struct sb_health *health, struct sb_error *err) {
    struct watch w;
    bool over;
    struct sb_error of_unit = {0};
    start_watch(&w, health);
    int rc = round_once(&w, &over, err);
    if (rc < 0 && err->code == SB_E_UNHEALTHY && look(&w, &over, &of_unit) < 0)
        *err = of_unit; /* that it was stopped says more than that it does not answer */
    end_watch(&w);
    return rc;
}
