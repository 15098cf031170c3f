#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/memory.h"

char *sb_process_find(const char *program) {
    if (strchr(program, '/'))
        return access(program, X_OK) == 0 ? sb_strdup(program) : NULL;
    const char *path = getenv("PATH");
    sb_autofree char *all = sb_format("%s:/usr/local/sbin:/usr/sbin:/sbin", path ? path : "/bin");
    char *rest = all;
    for (char *dir; (dir = strsep(&rest, ":"));) {
        if (*dir !=
            '/') /* what is found would depend on where one stands: in a checkout, perhaps */
            continue;
        char *candidate = sb_path_join(dir, program);
        if (access(candidate, X_OK) == 0)
            return candidate;
        free(candidate);
    }
    return NULL;
}

char *sb_process_program(struct sb_error *err) {
    static const char deleted[] = " (deleted)"; /* appended once the file has no name any more */
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    if (n < 0) {
        sb_fail_errno(err, SB_E_IO, "looking up this program's path");
        return NULL;
    }
    size_t len = (size_t)n, tail = sizeof deleted - 1;
    if (len > tail && !memcmp(path + len - tail, deleted, tail))
        len -= tail;
    return sb_strndup(path, len);
}

/* In the child, between fork and exec: async-signal-safe calls only. */
static _Noreturn void run_child(const struct sb_process_options *o, const char *program,
                                const int fds[4], int report, pid_t parent) {
    if (!o->survives)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    if (o->new_group)
        setpgid(0, 0);
    int count = o->more ? 4 : 3, moved[4];
    for (int i = 0; i < count; i++) /* above them first: one may be the target of another */
        moved[i] = fcntl(fds[i], F_DUPFD, count);
    report = fcntl(report, F_DUPFD_CLOEXEC, count);
    for (int i = 0; i < count; i++) {
        dup2(moved[i], i);
        close(moved[i]);
    }
    /* What this process itself was started with, too. */
    close_range((unsigned)count, ~0u, CLOSE_RANGE_CLOEXEC);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!o->cwd || chdir(o->cwd) == 0)
        execve(program, (char *const *)o->argv, o->env ? (char *const *)o->env : environ);
    int code = errno;
    ssize_t ignored = write(report, &code, sizeof code);
    (void)ignored;
    _exit(127);
}

void sb_process_take_standard(void) {
    static const int useless[3] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = 0; fd < 3; fd++) /* an open gets the lowest number that is free */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", useless[fd]) != fd)
            _exit(1);
}

pid_t sb_process_start(const struct sb_process_options *o, struct sb_error *err) {
    sb_autofree char *program = sb_process_find(o->argv[0]);
    if (!program) {
        sb_fail(err, SB_E_NOT_FOUND, "the program %s is not installed", o->argv[0]);
        return -1;
    }
    sb_autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int report[2];
    if (null < 0 || pipe2(report, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "starting %s", o->argv[0]);
    const int fds[4] = {o->in < 0 ? null : o->in, o->out < 0 ? null : o->out,
                        o->err < 0 ? null : o->err, o->more};
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        run_child(o, program, fds, report[1], parent);
    close(report[1]);
    sb_autoclose int answer = report[0];
    if (pid < 0)
        return sb_fail_errno(err, SB_E_FAILED, "starting %s", o->argv[0]);
    int code;
    ssize_t n;
    do
        n = read(answer, &code, sizeof code);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof code) {
        waitpid(pid, NULL, 0);
        errno = code;
        return sb_fail_errno(err, SB_E_NOT_FOUND, "starting %s", program);
    }
    return pid;
}

int sb_process_wait(pid_t pid, struct sb_error *err) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return sb_fail_errno(err, SB_E_FAILED, "waiting for process %d", (int)pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Until then, for poll: -1 without an end, 0 when it is over. */
static int left_ms(const struct timespec *begin, int seconds) {
    struct timespec now;
    if (seconds == 0)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t left = (begin->tv_sec + seconds - now.tv_sec) * (int64_t)1000 +
                   (begin->tv_nsec - now.tv_nsec) / 1000000;
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* Reads until both pipes are closed. */
static int drain(int out_fd, int err_fd, size_t max, struct sb_buf *out, struct sb_buf *diagnostics,
                 bool interruptible, int seconds, struct sb_error *err) {
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    struct pollfd fds[3] = {{.fd = out_fd, .events = POLLIN},
                            {.fd = err_fd, .events = POLLIN},
                            {.fd = interruptible ? sb_interrupt_fd() : -1, .events = POLLIN}};
    struct sb_buf *bufs[2] = {out, diagnostics};
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        int left = left_ms(&begin, seconds);
        if (left == 0)
            return sb_fail(err, SB_E_FAILED, "no end after %d seconds", seconds);
        int ready = poll(fds, 3, left);
        if (ready < 0 && errno != EINTR)
            return sb_fail_errno(err, SB_E_FAILED, "waiting for output");
        if (interruptible && sb_interrupt_check(err) < 0)
            return -1;
        if (ready <= 0)
            continue;
        for (int i = 0; i < 2; i++) {
            if (fds[i].fd < 0 || !fds[i].revents)
                continue;
            char chunk[8192];
            ssize_t n = read(fds[i].fd, chunk, sizeof chunk);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0 || !bufs[i])
                fds[i].fd = -1;
            else if (bufs[i]->len + (size_t)n > max)
                return sb_fail(err, SB_E_FAILED, "more than %zu bytes of output", max);
            else
                sb_buf_add(bufs[i], chunk, (size_t)n);
        }
    }
    return 0;
}

static int capture(const char *const *argv, const char *const *env, const char *cwd, size_t max,
                   struct sb_buf *out, struct sb_buf *diagnostics, bool interruptible, int seconds,
                   struct sb_error *err) {
    int out_pipe[2], err_pipe[2] = {-1, -1};
    if (pipe2(out_pipe, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "starting %s", argv[0]);
    if (diagnostics && pipe2(err_pipe, O_CLOEXEC) < 0) {
        close(out_pipe[0]);
        close(out_pipe[1]);
        return sb_fail_errno(err, SB_E_FAILED, "starting %s", argv[0]);
    }
    struct sb_process_options options = {.argv = argv,
                                         .env = env,
                                         .cwd = cwd,
                                         .in = -1,
                                         .out = out_pipe[1],
                                         .err = err_pipe[1],
                                         .new_group = seconds > 0};
    pid_t pid = sb_process_start(&options, err);
    close(out_pipe[1]);
    if (err_pipe[1] >= 0)
        close(err_pipe[1]);
    sb_autoclose int out_fd = out_pipe[0];
    sb_autoclose int err_fd = err_pipe[0];
    if (pid < 0)
        return -1;
    if (drain(out_fd, err_fd, max, out, diagnostics, interruptible, seconds, err) < 0) {
        kill(options.new_group ? -pid : pid, SIGKILL); /* with what it started */
        waitpid(pid, NULL, 0);
        return sb_error_context(err, "%s", argv[0]);
    }
    return sb_process_wait(pid, err);
}

int sb_process_capture(const char *const *argv, const char *cwd, size_t max, struct sb_buf *out,
                       struct sb_buf *diagnostics, struct sb_error *err) {
    return capture(argv, NULL, cwd, max, out, diagnostics, false, 0, err);
}

int sb_process_capture_env(const char *const *argv, const char *const *env, const char *cwd,
                           size_t max, int seconds, struct sb_buf *out, struct sb_buf *diagnostics,
                           struct sb_error *err) {
    return capture(argv, env, cwd, max, out, diagnostics, true, seconds, err);
}

bool sb_process_leave_keyring(void) {
    return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0 || errno == ENOSYS ||
           errno == EPERM;
}
