/*
 * sbuild-init: the first process of a service, and of a step's container; a program of its own.
 *
 *     /.sbuild/init SECONDS SIGNAL PROGRAM [ARGUMENT…]
 *
 * It starts the program, and stands by it, as containers have an init:
 *
 * - Standard output and error of a unit are a socket of the journal, which nobody can open by a
 *   name. Programs of images do (/dev/stdout). So they get a pipe, and what comes out of it goes to
 *   the journal.
 * - Signals go to the program: it alone is told to stop, and may see to its own processes. When it
 *   has ended, those that it left are told as well, and have SECONDS; systemd has its own patience
 *   beside this.
 * - What the program left is reaped. Its exit status, or the signal that ended it, is this
 *   process's.
 *
 * It runs in a service's root, as its user and within all that it may: it is linked statically,
 * and has no rights that the program has not. It lies in the root of each generation
 * (deploy/host/initfile.h), so nothing of the host has to be there later; a container has it
 * mounted (sandbox/first.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CANNOT_RUN    203             /* as systemd has it: EXIT_EXEC */
#define ENDING        "sbuild-ending" /* what it is called then: deploy/node/health.c looks at it */
#define LEFT_MOST     4096
#define CHILDREN_TEXT (64u << 10)
#define LAST_WORDS    5000 /* milliseconds, for what is still in the pipes */
#define TICK          200  /* likewise: how often it is looked for what is left */
#define KILLING       2000 /* likewise: what can't even be killed is systemd's */

/* A pipe, and where what comes out of it goes. */
struct stream {
    int from, to; /* -1: there is none */
    size_t at, len;
    char bytes[16384];
};

struct init {
    struct stream streams[2];
    pid_t program; /* 0: it has ended */
    int status;
    int stop_signal;
    long long patience, over; /* milliseconds; over: when what is left is killed; 0: not yet */
    pid_t told[LEFT_MOST];
    size_t told_count;
};

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what it says ---- */

static void flush(struct stream *s) {
    while (s->len > 0) {
        ssize_t n = send(s->to, s->bytes + s->at, s->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) { /* the journal is gone: the program need not stand still for that */
            s->len = 0;
            return;
        }
        s->at += (size_t)n;
        s->len -= (size_t)n;
    }
}

/* True while there may be more at once. */
static bool pump(struct stream *s) {
    if (s->from < 0)
        return false;
    flush(s);
    if (s->len > 0)
        return false;
    ssize_t n = read(s->from, s->bytes, sizeof s->bytes);
    if (n < 0)
        return false;
    if (n == 0) {
        close(s->from);
        s->from = -1;
        return false;
    }
    s->at = 0;
    s->len = (size_t)n;
    flush(s);
    return s->len == 0;
}

static bool is_socket(int fd, struct stat *out) {
    return fstat(fd, out) == 0 && S_ISSOCK(out->st_mode);
}

/* Its mode is everybody's, as that of a terminal is its user's: a program that changes its user may
 * open it still. Nobody comes to it but by /proc of who has it. */
static int open_pipe(struct stream *s, int to) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    fchmod(ends[1], 0666);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    s->from = ends[0];
    s->to = to;
    return ends[1];
}

/* What is no socket stays: an operator chose it. Both in one stay so, and in order. */
static void open_streams(struct init *init, int out_ends[2]) {
    struct stat out, err;
    bool has[2] = {is_socket(1, &out), is_socket(2, &err)};
    out_ends[0] = has[0] ? open_pipe(&init->streams[0], 1) : -1;
    if (has[0] && has[1] && out.st_ino == err.st_ino && out.st_dev == err.st_dev)
        out_ends[1] = out_ends[0];
    else
        out_ends[1] = has[1] ? open_pipe(&init->streams[1], 2) : -1;
}

static void complain(const char *what, const char *name, int code) {
    fprintf(stderr, "sbuild: %s %s: %s\n", what, name, strerror(code));
}

/* ---- the program ---- */

/* Variables in which systemd named this process are the program's. */
static void take_over(const char *name, pid_t parent) {
    const char *value = getenv(name);
    char own[24];
    if (!value || strtol(value, NULL, 10) != parent)
        return;
    snprintf(own, sizeof own, "%d", (int)getpid());
    setenv(name, own, 1);
}

static _Noreturn void run(char **argv, const int ends[2], const sigset_t *mask, pid_t parent,
                          int failed) {
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            dup2(ends[i], i + 1);
    if (ends[1] >= 0)
        unsetenv("JOURNAL_STREAM");
    take_over("LISTEN_PID", parent);
    take_over("WATCHDOG_PID", parent);
    setsid();
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(argv[0], argv);
    int code = errno;
    ssize_t sent = write(failed, &code, sizeof code);
    (void)sent;
    _exit(CANNOT_RUN);
}

static bool is_own(const struct init *init, int signals, int fd) {
    for (int i = 0; i < 2; i++)
        if (fd == init->streams[i].from || fd == init->streams[i].to)
            return true;
    return fd == signals;
}

/* All that it was given beside its own is the program's: a socket that is kept open here would take
 * connections that nobody answers. */
static void close_others(const struct init *init, int signals) {
    int most = signals;
    for (int i = 0; i < 2; i++)
        most = init->streams[i].from > most ? init->streams[i].from : most;
    for (int fd = 3; fd < most; fd++)
        if (!is_own(init, signals, fd))
            close(fd);
    if (close_range((unsigned)most + 1, ~0u, 0) == 0)
        return;
    for (int fd = most + 1; fd < 4096; fd++)
        close(fd);
}

static int end_at_once(void *unused) {
    (void)unused;
    return 0;
}

/* Runtimes have had threads in the namespace: the program's number would depend on which runtime,
 * and on what the machine is. Programs write their numbers down. */
static void take_numbers(void) {
    enum { FIRST = 32 };
    static _Alignas(16) char stack[16384];
    for (pid_t pid = 0; getpid() == 1 && pid < FIRST - 1;) {
        pid = clone(end_at_once, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
        if (pid < 0)
            return;
        waitpid(pid, NULL, 0);
    }
}

static int start(struct init *init, char **argv, const sigset_t *mask, int signals) {
    int ends[2], failed[2], code = 0;
    pid_t parent = getpid();
    open_streams(init, ends);
    if (pipe2(failed, O_CLOEXEC) < 0)
        return -1;
    take_numbers();
    init->program = fork();
    if (init->program == 0)
        run(argv, ends, mask, parent, failed[1]);
    close(failed[1]);
    if (init->program < 0) {
        complain("can't start", argv[0], errno);
        return -1;
    }
    ssize_t n = read(failed[0], &code, sizeof code);
    if (n == (ssize_t)sizeof code)
        complain("can't run", argv[0], code);
    close_others(init, signals);
    return n == (ssize_t)sizeof code ? -1 : 0;
}

/* ---- what it leaves ---- */

static bool was_told(const struct init *init, pid_t pid) {
    for (size_t i = 0; i < init->told_count; i++)
        if (init->told[i] == pid)
            return true;
    return false;
}

static void tell(struct init *init, pid_t pid, int sig) {
    if (sig != SIGKILL) {
        if (was_told(init, pid))
            return;
        if (init->told_count < LEFT_MOST)
            init->told[init->told_count++] = pid;
    }
    kill(pid, sig);
    if (sig != SIGKILL)
        kill(pid, SIGCONT);
}

/* Those whose parents have ended are children of this process. Their own are theirs to see to. */
static void tell_left(struct init *init, int sig) {
    static char text[CHILDREN_TEXT];
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    for (ssize_t n; fd >= 0 && len + 1 < sizeof text; len += (size_t)n)
        if ((n = read(fd, text + len, sizeof text - 1 - len)) <= 0)
            break;
    if (fd >= 0)
        close(fd);
    text[len] = '\0';
    char *end;
    for (const char *at = text; *at; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at || (*end && *end != ' '))
            break;
        if (pid > 1)
            tell(init, (pid_t)pid, sig);
        end += strspn(end, " ");
    }
}

/* True: nothing is left. */
static bool reap(struct init *init) {
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return pid < 0;
        for (size_t i = 0; i < init->told_count; i++)
            if (init->told[i] == pid)
                init->told[i] = init->told[--init->told_count];
        if (pid == init->program) {
            init->program = 0;
            init->status = status;
            init->over = now() + init->patience;
            prctl(PR_SET_NAME, ENDING);
        }
    }
}

/* ---- all of it ---- */

static void pass_on(struct init *init, int sig) {
    if (sig == SIGCHLD || sig == SIGPIPE)
        return;
    if (init->program)
        kill(init->program, sig);
}

static void take_signals(struct init *init, int signals) {
    struct signalfd_siginfo one;
    while (read(signals, &one, sizeof one) == (ssize_t)sizeof one)
        pass_on(init, (int)one.ssi_signo);
}

static void wait_for_more(const struct init *init, int signals, int most) {
    struct pollfd fds[3] = {{.fd = signals, .events = POLLIN}};
    nfds_t n = 1;
    for (int i = 0; i < 2; i++) {
        const struct stream *s = &init->streams[i];
        if (s->len > 0)
            fds[n++] = (struct pollfd){.fd = s->to, .events = POLLOUT};
        else if (s->from >= 0)
            fds[n++] = (struct pollfd){.fd = s->from, .events = POLLIN};
    }
    poll(fds, n, most);
}

static void attend(struct init *init, int signals) {
    while (!reap(init)) {
        if (!init->program && now() > init->over + KILLING)
            return;
        if (!init->program)
            tell_left(init, now() < init->over ? init->stop_signal : SIGKILL);
        bool more = false;
        for (int i = 0; i < 2; i++)
            more = pump(&init->streams[i]) || more;
        if (!more)
            wait_for_more(init, signals, init->program ? -1 : TICK);
        take_signals(init, signals);
    }
}

/* Who wrote has ended: what is in the pipes is all there is. */
static void say_the_rest(struct init *init) {
    long long until = now() + LAST_WORDS;
    for (int i = 0; i < 2; i++) {
        struct stream *s = &init->streams[i];
        while (s->from >= 0 && now() < until) {
            if (pump(s))
                continue;
            if (s->len == 0)
                break;
            struct pollfd ready = {.fd = s->to, .events = POLLOUT};
            poll(&ready, 1, TICK);
        }
    }
}

/* By the same signal, without another core. */
static _Noreturn void end_as(int status) {
    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    int sig = WTERMSIG(status);
    sigset_t only;
    prctl(PR_SET_DUMPABLE, 0);
    signal(sig, SIG_DFL);
    sigemptyset(&only);
    sigaddset(&only, sig);
    raise(sig);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    _exit(128 + sig);
}

int main(int argc, char **argv) {
    static struct init init = {.streams = {{.from = -1, .to = -1}, {.from = -1, .to = -1}}};
    sigset_t all, before;
    if (argc < 4) {
        fputs("sbuild-init SECONDS SIGNAL PROGRAM [ARGUMENT...]\n", stderr);
        return 2;
    }
    init.patience = strtoll(argv[1], NULL, 10) * 1000;
    init.stop_signal = (int)strtol(argv[2], NULL, 10);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) {
        complain("can't watch", argv[3], errno);
        return CANNOT_RUN;
    }
    if (start(&init, argv + 3, &before, signals) < 0)
        return CANNOT_RUN;
    attend(&init, signals);
    say_the_rest(&init);
    end_as(init.status);
}
