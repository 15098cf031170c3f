#include "deploy/node/health.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/loopback.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "deploy/host/inside.h"
#include "deploy/host/systemd.h"

#define ACCEPT_SECONDS 5   /* for a connection */
#define KNOWN_SECONDS  2   /* how long one that ran well before, and has no check, must stay up */
#define STEADY_NAP     500 /* milliseconds, between questions to one that is healthy */
#define KILLED_SECONDS 30  /* that a killed one may take to be gone */
#define TOLD_AFTER     1   /* second, from which on it is told what is waited for */
#define RESTARTS_LIMIT 5   /* systemd had to start it again so often */
#define NAP_LEAST      20  /* milliseconds */
#define NAP_MOST       250
#define LOOK_EVERY     0.25 /* seconds, between questions to systemd while the check fails */

struct watch {
    const struct sb_health *health;
    struct sb_unit_status status;
    double looked;
    bool waits;                /* for it to become healthy */
    unsigned restarts;         /* that there were before that */
    double until;              /* when no answer is of use any more; 0: always */
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

/* For one answer: what its description allows, but a second at least of what is left. */
static double answer_seconds(const struct watch *w) {
    uint32_t said = w->health->description->health_answer;
    double allowed = said ? said : SB_SERVICE_HEALTH_ANSWER;
    double left = w->until - sb_clock_seconds();
    if (w->until == 0 || left > allowed)
        return allowed;
    return left > 1 ? left : 1;
}

static int probe_http(const struct watch *w, struct sb_error *err) {
    const struct sb_description *d = w->health->description;
    const struct sb_loopback_get get = {.port = port_of(w->health),
                                        .path = d->health_http,
                                        .host = d->health_host,
                                        .seconds = answer_seconds(w)};
    struct sb_error own = {0};
    int status;
    int rc = sb_loopback_get(&get, &status, &own);
    if (rc < 0 && own.code == SB_E_INTERRUPTED) {
        *err = own;
        return -1;
    }
    if (rc < 0)
        return sb_fail(err, SB_E_UNHEALTHY, "http://127.0.0.1:%u%.500s does not answer: %.300s",
                       get.port, get.path, own.message);
    if (status >= 200 && status < 400)
        return 0;
    return sb_fail(err, SB_E_UNHEALTHY, "http://127.0.0.1:%u%.500s answers %d", get.port, get.path,
                   status);
}

bool sb_health_answers(uint16_t port) {
    return sb_loopback_accepts(port, ACCEPT_SECONDS);
}

static int probe_tcp(const struct watch *w, struct sb_error *err) {
    uint16_t port = port_of(w->health);
    return sb_health_answers(port)
               ? 0
               : sb_fail(err, SB_E_UNHEALTHY, "nothing listens on port %u", port);
}

static int wait_bounded(pid_t pid, double seconds, struct sb_error *err) {
    double until = sb_clock_seconds() + seconds;
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
        if (sb_clock_seconds() > until || sb_interrupt_signal()) {
            kill(-pid, SIGKILL);
            waitpid(pid, &status, 0);
            return sb_fail(err, SB_E_UNHEALTHY, "its health command takes more than %s",
                           sb_text_seconds(seconds).text);
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
    return child < 0 ? -1 : wait_bounded(child, answer_seconds(w), err);
}

/* ---- what systemd says ---- */

static bool is(const char *a, const char *b) {
    return !strcmp(a, b);
}

static bool runs_to_its_end(const struct watch *w) {
    return w->health->description->type == SB_SERVICE_JOB;
}

static bool is_old(const struct watch *w) {
    return w->status.main_pid && w->status.main_pid == w->health->not_process;
}

/* For systemd it runs on until what its program left has ended, too: see init/main.c. */
static bool is_ending(pid_t main) {
    sb_autofree char *path = sb_format("/proc/%d/comm", (int)main);
    sb_autobuf struct sb_buf name = {0};
    return main > 0 && sb_file_read(AT_FDCWD, path, 64, &name, NULL) == 0 &&
           is(sb_buf_text(&name), "sbuild-ending\n");
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
    if (is_old(w))
        return sb_fail(err, SB_E_UNHEALTHY, "the old process still ends");
    if (is(s->active, "failed")) {
        *out_over = true;
        return sb_fail(err, SB_E_UNHEALTHY, "its process failed (%s)", s->result);
    }
    if (w->restarts > s->restarts)
        w->restarts = 0; /* it was started anew */
    if (w->waits && s->restarts - w->restarts >= RESTARTS_LIMIT) {
        *out_over = true;
        return sb_fail(err, SB_E_UNHEALTHY, "its process ended %u times",
                       s->restarts - w->restarts);
    }
    if (runs_to_its_end(w) && is(s->active, "inactive") && is(s->result, "success"))
        return 0;
    if (is(s->active, "active") && is_ending(s->main_pid))
        return sb_fail(err, SB_E_UNHEALTHY, "its program ended, and what that left still ends");
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
}

static void end_watch(struct watch *w) {
    sb_confine_free(&w->confine);
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

/* ---- waiting for the old process to go ---- */

struct parting {
    double began, told, killed, most; /* most: seconds; 0: as many as it likes */
    bool ending;                      /* it is an old process that is waited for, no other unit */
};

/* What is to start has not started: the one before still ends, or units that come before this. */
static bool is_parting(struct watch *w, struct parting *p) {
    const struct sb_unit_status *s = &w->status;
    bool idle = is(s->active, "inactive") || is(s->active, "failed");
    p->ending = is_old(w) || is(s->active, "deactivating");
    return p->ending || (s->has_job && idle);
}

/* A service may have systemd wait for it as long as it likes (EXTEND_TIMEOUT_USEC of sd_notify(3)):
 * what doesn't end in its time is killed. */
static int press(struct watch *w, struct parting *p, struct sb_error *err) {
    double at = sb_clock_seconds();
    const struct sb_health *health = w->health;
    if (p->told == 0 && at - p->began >= TOLD_AFTER) {
        p->told = at;
        sb_node_say(health->node,
                    p->ending ? "%s: waiting for the old process to end%s%s%s"
                              : "%s: waiting for what is started before it%s%s%s",
                    health->description->name, p->most > 0 && p->ending ? " (" : "",
                    p->most > 0 && p->ending ? sb_text_seconds(p->most).text : "",
                    p->most > 0 && p->ending ? " at most)" : "");
    }
    if (!p->ending || p->most == 0)
        return 0;
    if (p->killed == 0 && at - p->began > p->most) {
        p->killed = at;
        sb_node_say(health->node, "%s: the old process does not end, and is killed",
                    health->description->name);
        return sb_systemd_kill(health->unit, err);
    }
    if (p->killed > 0 && at - p->killed > KILLED_SECONDS)
        return sb_fail(err, SB_E_UNHEALTHY, "the old process does not end");
    return 0;
}

/* The time for health begins when the new process does. */
static int wait_for_start(struct watch *w, struct sb_error *err) {
    struct parting p = {.began = sb_clock_seconds()};
    double start_limit = w->health->description->start_timeout;
    bool known = false;
    for (;;) {
        if (sb_interrupt_check(err) < 0 || sb_systemd_status(w->health->unit, &w->status, err) < 0)
            return -1;
        w->restarts = w->status.restarts;
        if (!is_parting(w, &p))
            return 0;
        if (!known)
            p.most = sb_systemd_stop_limit(w->health->unit);
        known = true;
        if (press(w, &p, err) < 0)
            return -1;
        if (!p.ending && start_limit > 0 && sb_clock_seconds() - p.began > start_limit)
            return 0;
        struct pollfd interrupted = {.fd = sb_interrupt_fd(), .events = POLLIN};
        poll(&interrupted, 1, NAP_LEAST * 2);
    }
}

/* ---- waiting for health ---- */

/* 0: a job that may run as long as it likes. */
static double time_allowed(const struct sb_health *health) {
    const struct sb_description *d = health->description;
    if (health->wait)
        return health->wait;
    if (d->type == SB_SERVICE_JOB)
        return d->start_timeout ? (double)d->start_timeout + d->health_timeout : 0;
    return d->type == SB_SERVICE_NOTIFY ? (double)d->start_timeout + d->health_timeout
                                        : d->health_timeout;
}

static int wait_until(struct watch *w, double allowed, struct sb_error *err) {
    bool over = false;
    for (int nap = NAP_LEAST;; nap = nap * 3 / 2 < NAP_MOST ? nap * 3 / 2 : NAP_MOST) {
        struct sb_error of_round = {0};
        if (sb_interrupt_check(err) < 0)
            return -1;
        if (round_once(w, &over, &of_round) == 0)
            return 0;
        if (over || (w->until > 0 && sb_clock_seconds() > w->until)) {
            *err = of_round;
            return over ? -1
                        : sb_error_context(err, "not healthy within %s",
                                           sb_text_seconds(allowed).text);
        }
        struct pollfd interrupted = {.fd = sb_interrupt_fd(), .events = POLLIN};
        poll(&interrupted, 1, nap);
    }
}

/* ---- and for it to last ---- */

static double steady_seconds(const struct sb_health *health) {
    const struct sb_description *d = health->description;
    if (d->type == SB_SERVICE_JOB)
        return 0;
    if (!health->known)
        return d->health_steady;
    return has_check(d) || d->health_steady < KNOWN_SECONDS ? 0 : KNOWN_SECONDS;
}

/* The same process, and healthy all the while: one bad answer, and it begins anew, as long as there
 * is time. */
static int stay_well(struct watch *w, double seconds, struct sb_error *err) {
    pid_t pid = w->status.main_pid;
    double since = sb_clock_seconds(),
           last = since + seconds > w->until ? since + seconds : w->until;
    struct sb_error of_check = {0};
    bool over;
    while (sb_clock_seconds() < since + seconds) {
        struct pollfd interrupted = {.fd = sb_interrupt_fd(), .events = POLLIN};
        poll(&interrupted, 1, STEADY_NAP);
        if (sb_interrupt_check(err) < 0)
            return -1;
        if (look(w, &over, err) < 0)
            return sb_error_context(err, "it was healthy, and is not any more");
        if (w->status.main_pid != pid)
            return sb_fail(err, SB_E_UNHEALTHY, "its process ended, and was started again");
        struct sb_error own = {0};
        if (check(w, &own) < 0) {
            if (own.code != SB_E_UNHEALTHY || sb_clock_seconds() > last) {
                *err = own;
                return sb_error_context(err, "it was healthy, and is not any more");
            }
            since = sb_clock_seconds();
            of_check = own;
        } else if (sb_clock_seconds() > last + seconds) {
            *err = of_check;
            return sb_error_context(err, "not healthy for %s on end",
                                    sb_text_seconds(seconds).text);
        }
    }
    return 0;
}

int sb_health_wait(const struct sb_health *health, struct sb_error *err) {
    struct watch w;
    double allowed = time_allowed(health), steady = steady_seconds(health);
    start_watch(&w, health);
    w.waits = true;
    int rc = wait_for_start(&w, err);
    w.until = allowed > 0 ? sb_clock_seconds() + allowed : 0;
    if (rc == 0)
        rc = wait_until(&w, allowed, err);
    if (rc == 0 && steady > 0)
        rc = stay_well(&w, steady, err);
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
