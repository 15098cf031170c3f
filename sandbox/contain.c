/* The side of contained programs that is in sbuild; sandbox/contain_main.c is the other one. */
#include "sandbox/contain.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "sandbox/cgroup.h"
#include "sandbox/contain_private.h"

enum {
    GRACE = 5,            /* seconds until an interrupted keeper is killed, too */
    REPORT_LIMIT = 16384, /* bytes */
    POLL_MS = 1000,
};

struct watch {
    pid_t pid;
    int process, out; /* descriptors; out is -1 at its end */
    struct sb_step_log *log;
    time_t end;      /* when it has taken too long; 0: never */
    bool late;       /* it has */
    time_t deadline; /* 0: not interrupted, nor late */
    struct sb_streams *streams;
    const struct sb_contain_stop *stop;
    time_t told; /* when it has to have ended since it was told to; 0: it was not */
    int signals; /* that were passed on */
};

static time_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* Reads what is there. */
static void take_output(struct watch *watch) {
    char chunk[16384];
    for (;;) {
        ssize_t n = read(watch->out, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            watch->out = -1;
            return;
        }
        sb_step_log_write(watch->log, chunk, (size_t)n);
    }
}

/* SIGTERM has the keeper kill everything and wait for it. */
static void interrupt(struct watch *watch) {
    if (!watch->deadline) {
        watch->deadline = now() + GRACE;
        kill(watch->pid, SIGTERM);
    } else if (now() >= watch->deadline) {
        kill(watch->pid, SIGKILL);
    }
}

/* To the program, by way of its keeper and the runtime. */
static void pass_on(const struct watch *watch, int signal) {
    sigqueue(watch->pid, SB_CONTAIN_PASS_ON, (union sigval){.sival_int = signal});
}

/* An init, which a container's program is, is not ended by a signal that it does not look for. */
static void take_signal(struct watch *watch, int signal) {
    enum { PATIENCE = 10 };
    if (watch->signals++ > 0) {
        interrupt(watch);
        return;
    }
    pass_on(watch, signal);
    if (signal == SIGTERM || signal == SIGHUP)
        watch->told = now() + PATIENCE;
    else if (signal != SIGINT && signal != SIGQUIT)
        watch->signals = 0;
}

static void look_for_stop(struct watch *watch, const struct pollfd *stop) {
    if (watch->stop && stop->revents && !watch->told) {
        pass_on(watch, watch->stop->signal);
        watch->told = now() + watch->stop->seconds;
    }
    if (watch->told && now() >= watch->told)
        interrupt(watch);
}

static int time_to_wait(const struct watch *watch) {
    if (watch->deadline || watch->told)
        return POLL_MS;
    if (!watch->end)
        return -1;
    return now() >= watch->end ? 0 : POLL_MS;
}

static int follow(struct watch *watch, struct sb_error *err) {
    for (;;) {
        struct pollfd fds[4 + SB_STREAMS_POLL] = {
            {.fd = watch->process, .events = POLLIN},
            {.fd = watch->out, .events = POLLIN},
            {.fd = watch->deadline ? -1 : sb_interrupt_fd(), .events = POLLIN},
            {.fd = watch->stop && !watch->told ? watch->stop->fd : -1, .events = POLLIN},
        };
        if (watch->streams)
            sb_streams_poll(watch->streams, fds + 4);
        if (poll(fds, watch->streams ? 4 + SB_STREAMS_POLL : 4, time_to_wait(watch)) < 0) {
            if (errno != EINTR)
                return sb_fail_errno(err, SB_E_FAILED, "waiting for a program");
            continue;
        }
        if (watch->out >= 0)
            take_output(watch);
        int signal = watch->streams ? sb_streams_move(watch->streams, fds + 4) : 0;
        if (signal)
            take_signal(watch, signal);
        if (fds[0].revents)
            return 0;
        look_for_stop(watch, &fds[3]);
        bool late = watch->end && now() >= watch->end;
        if (late && !sb_interrupt_signal() && !watch->deadline)
            watch->late = true;
        if (late || sb_interrupt_signal())
            interrupt(watch);
    }
}

static pid_t start(const struct sb_contain *contain, const struct sb_cgroup *cgroup, int out,
                   int report, struct sb_error *err) {
    static const char *const cgroups[] = {[SB_CGROUPS_KEEP] = "keep",
                                          [SB_CGROUPS_READ_ONLY] = "read-only",
                                          [SB_CGROUPS_HIDE] = "hide"};
    sb_autostrings struct sb_strings argv = {0};
    sb_strings_add(&argv, "/proc/self/exe");
    sb_strings_add(&argv, SB_CONTAIN_COMMAND);
    sb_strings_addf(&argv, "cgroups=%s", cgroups[contain->cgroups]);
    if (!contain->network)
        sb_strings_add(&argv, "network=none");
    if (contain->streams)
        sb_strings_addf(&argv, "input=%s",
                        sb_streams_has_terminal(contain->streams) ? "terminal" : "pipe");
    if (contain->own_system)
        sb_strings_add(&argv, "system=own");
    if (contain->apart || contain->place_count)
        sb_strings_add(&argv, "apart=yes");
    for (size_t i = 0; i < contain->place_count; i++)
        sb_strings_addf(&argv, "place=%s=%s", contain->places[i].name, contain->places[i].source);
    for (size_t i = 0; i < cgroup->directories.n; i++)
        sb_strings_addf(&argv, "join=%s", cgroup->directories.v[i]);
    sb_strings_add(&argv, "--");
    for (size_t i = 0; contain->argv[i]; i++)
        sb_strings_add(&argv, contain->argv[i]);
    int own[3] = {0, out, out};
    if (contain->streams)
        sb_streams_child(contain->streams, own);
    struct sb_process_options options = {.argv = (const char *const *)argv.v,
                                         .env = contain->env,
                                         .cwd = contain->directory ? contain->directory : "/",
                                         .in = report, /* see contain_main.c */
                                         .out = own[1],
                                         .err = own[2],
                                         .more = own[0],
                                         .new_group = true};
    return sb_process_start(&options, err);
}

/* Once the keeper ended, everything it kept has. */
static int finish(struct watch *watch, int report, int *out_status, struct sb_error *err) {
    *out_status = sb_process_wait(watch->pid, err);
    if (*out_status < 0)
        return -1;
    if (watch->out >= 0)
        take_output(watch);
    if (watch->streams)
        sb_streams_drain(watch->streams);
    if (watch->late)
        *out_status = 128 + SIGKILL;
    if (watch->deadline)
        return sb_interrupt_check(err);
    sb_autobuf struct sb_buf text = {0};
    if (sb_fd_read(report, REPORT_LIMIT, &text, err) < 0)
        return -1;
    if (text.len)
        return sb_fail(err, SB_E_FAILED, "%s", text.data);
    return 0;
}

static int run(const struct sb_contain *contain, const struct sb_cgroup *cgroup,
               struct sb_step_log *log, int *out_status, struct sb_error *err) {
    int out[2], report[2];
    sb_autofree char *program = sb_process_find(contain->argv[0]);
    if (!program)
        return sb_fail(err, SB_E_NOT_FOUND, "the program %s is not installed", contain->argv[0]);
    if (pipe2(out, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a pipe");
    sb_autoclose int out_read = out[0];
    sb_autoclose int out_write = out[1];
    if (pipe2(report, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a pipe");
    sb_autoclose int report_read = report[0];
    sb_autoclose int report_write = report[1];
    pid_t pid = start(contain, cgroup, out_write, report_write, err);
    if (contain->streams && pid >= 0)
        sb_streams_begin(contain->streams);
    close(sb_steal_fd(&out_write));
    close(sb_steal_fd(&report_write));
    if (pid < 0)
        return -1;
    sb_autoclose int process = (int)syscall(SYS_pidfd_open, pid, 0);
    fcntl(out_read, F_SETFL, O_NONBLOCK);
    struct watch watch = {.pid = pid,
                          .process = process,
                          .out = out_read,
                          .log = log,
                          .streams = contain->streams,
                          .stop = contain->stop};
    if (contain->limits && contain->limits->time)
        watch.end = now() + (time_t)contain->limits->time;
    int failed =
        process < 0 ? sb_fail_errno(err, SB_E_FAILED, "watching a program") : follow(&watch, err);
    if (failed) {
        kill(pid, SIGKILL);
        sb_process_wait(pid, NULL);
        return -1;
    }
    int failed_to_end = finish(&watch, report_read, out_status, err);
    if (watch.late && contain->out_met)
        *contain->out_met = SB_LIMIT_OF_TIME;
    return failed_to_end;
}

int sb_contain_run(const struct sb_contain *contain, struct sb_step_log *log, int *out_status,
                   struct sb_error *err) {
    struct sb_cgroup cgroup = {0};
    enum sb_limit_met ignored, *met = contain->out_met ? contain->out_met : &ignored;
    *met = SB_LIMIT_NONE;
    if (sb_interrupt_check(err) < 0)
        return -1;
    if (contain->limits)
        sb_cgroup_make((uint64_t)contain->limits->tasks, contain->limits->memory, contain->network,
                       &cgroup);
    int failed = run(contain, &cgroup, log, out_status, err);
    if (*met == SB_LIMIT_NONE && sb_cgroup_met_memory(&cgroup))
        *met = SB_LIMIT_OF_MEMORY;
    if (*met == SB_LIMIT_NONE && sb_cgroup_met_tasks(&cgroup))
        *met = SB_LIMIT_OF_TASKS;
    sb_cgroup_drop(&cgroup);
    return failed;
}
