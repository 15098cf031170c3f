#include "sandbox/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

enum { CHUNK = 16384 };

struct sb_streams {
    bool terminal;
    struct termios saved;
    bool raw;      /* this process's terminal is */
    int child[3];  /* the program's ends; with a terminal the same thrice, of which 0 is closed */
    int in;        /* to the program; -1 when it takes no more */
    int out[2];    /* from it, its output and its errors; with a terminal only the first */
    int signals;   /* a signalfd */
    sigset_t mask; /* that there was before */
    bool at_end;   /* of standard input */
    size_t at, len;
    char bytes[CHUNK]; /* that it has yet to take */
};

static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

/* Whoever has one ignored (nohup) means it. */
static int take_signals(struct sb_streams *s, struct sb_error *err) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        struct sigaction action;
        if (sigaction(taken[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&set, taken[i]);
    }
    if (pthread_sigmask(SIG_BLOCK, &set, &s->mask) != 0 ||
        (s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "taking signals");
    return 0;
}

static int open_pipes(struct sb_streams *s, struct sb_error *err) {
    int ends[2];
    for (int i = 0; i < 3; i++) {
        if (pipe2(ends, O_CLOEXEC) < 0)
            return sb_fail_errno(err, SB_E_FAILED, "making a pipe");
        s->child[i] = ends[i ? 1 : 0];
        int own = ends[i ? 0 : 1];
        fcntl(own, F_SETFL, O_NONBLOCK);
        if (i)
            s->out[i - 1] = own;
        else
            s->in = own;
    }
    return 0;
}

/* The program's own is made by the runtime, in the container; this one is between it and us. */
static int open_terminal(struct sb_streams *s, struct sb_error *err) {
    struct winsize size = sb_streams_size(s);
    struct termios raw;
    char name[64];
    int main = s->in = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (main < 0 || unlockpt(main) < 0 || ptsname_r(main, name, sizeof name) != 0 ||
        (s->child[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0 ||
        (s->out[0] = fcntl(main, F_DUPFD_CLOEXEC, 3)) < 0 || tcgetattr(s->child[0], &raw) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a terminal");
    cfmakeraw(&raw);
    tcsetattr(s->child[0], TCSANOW, &raw);
    ioctl(main, TIOCSWINSZ, &size);
    fcntl(main, F_SETFL, O_NONBLOCK); /* of the open file: also when read */
    return 0;
}

int sb_streams_open(struct sb_streams **out, struct sb_error *err) {
    struct sb_streams *s = sb_alloc(sizeof *s);
    s->child[0] = s->child[1] = s->child[2] = s->in = s->out[0] = s->out[1] = s->signals = -1;
    s->terminal =
        isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && tcgetattr(STDIN_FILENO, &s->saved) == 0;
    if (take_signals(s, err) < 0 ||
        (s->terminal ? open_terminal(s, err) : open_pipes(s, err)) < 0) {
        sb_streams_free(s);
        return -1;
    }
    *out = s;
    return 0;
}

bool sb_streams_has_terminal(const struct sb_streams *s) {
    return s->terminal;
}

struct winsize sb_streams_size(const struct sb_streams *s) {
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    if (s->terminal)
        ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
    return size;
}

void sb_streams_child(const struct sb_streams *s, int out[3]) {
    for (int i = 0; i < 3; i++)
        out[i] = s->child[s->terminal ? 0 : i];
}

void sb_streams_begin(struct sb_streams *s) {
    for (int i = 0; i < 3; i++)
        sb_close_descriptor(&s->child[i]);
    if (!s->terminal)
        return;
    struct termios raw = s->saved;
    cfmakeraw(&raw);
    s->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

/* ---- copying ---- */

enum { SIGNALS, TYPED, INPUT, OUTPUT, ERRORS };

void sb_streams_poll(const struct sb_streams *s, struct pollfd fds[SB_STREAMS_POLL]) {
    bool wants = s->in >= 0 && s->len == 0 && !s->at_end;
    fds[SIGNALS] = (struct pollfd){.fd = s->signals, .events = POLLIN};
    fds[TYPED] = (struct pollfd){.fd = wants ? STDIN_FILENO : -1, .events = POLLIN};
    /* With nothing to give it, still whether it is closed; a terminal is told by its output. */
    fds[INPUT] =
        (struct pollfd){.fd = s->len || !s->terminal ? s->in : -1, .events = s->len ? POLLOUT : 0};
    fds[OUTPUT] = (struct pollfd){.fd = s->out[0], .events = POLLIN};
    fds[ERRORS] = (struct pollfd){.fd = s->out[1], .events = POLLIN};
}

static void give(struct sb_streams *s) {
    while (s->in >= 0 && s->len > 0) {
        ssize_t n = write(s->in, s->bytes + s->at, s->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) { /* it reads no more */
            sb_close_descriptor(&s->in);
            s->len = 0;
            return;
        }
        s->at += (size_t)n;
        s->len -= (size_t)n;
    }
    if (s->at_end && !s->terminal)
        sb_close_descriptor(&s->in);
}

static void take_typed(struct sb_streams *s) {
    ssize_t n = read(STDIN_FILENO, s->bytes, sizeof s->bytes);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    s->at = 0;
    s->len = n > 0 ? (size_t)n : 0;
    s->at_end = n <= 0;
    give(s);
}

/* -1 at the end; 0: nothing for now. */
static int pass_on(int *from, int to) {
    char chunk[CHUNK];
    ssize_t n = read(*from, chunk, sizeof chunk);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    /* Where nobody reads any more, the program is to know. */
    if (n > 0 && sb_fd_write(to, chunk, (size_t)n, "the program's output", NULL) == 0)
        return 1;
    sb_close_descriptor(from);
    return -1;
}

/* A new size is told to the program's terminal by the runtime, which is told by ours. */
static int take_signal(struct sb_streams *s) {
    struct signalfd_siginfo info;
    if (read(s->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return 0;
    if (info.ssi_signo != SIGWINCH)
        return (int)info.ssi_signo;
    struct winsize size = sb_streams_size(s);
    if (s->terminal)
        ioctl(s->out[0], TIOCSWINSZ, &size);
    return 0;
}

int sb_streams_move(struct sb_streams *s, const struct pollfd fds[SB_STREAMS_POLL]) {
    if (fds[OUTPUT].fd >= 0 && fds[OUTPUT].revents)
        pass_on(&s->out[0], STDOUT_FILENO);
    if (fds[ERRORS].fd >= 0 && fds[ERRORS].revents)
        pass_on(&s->out[1], STDERR_FILENO);
    if (fds[INPUT].fd >= 0 && fds[INPUT].revents & (POLLERR | POLLHUP))
        sb_close_descriptor(&s->in);
    else if (s->len)
        give(s);
    if (fds[TYPED].fd >= 0 && fds[TYPED].revents)
        take_typed(s);
    return fds[SIGNALS].revents ? take_signal(s) : 0;
}

void sb_streams_drain(struct sb_streams *s) {
    static const int to[] = {STDOUT_FILENO, STDERR_FILENO};
    for (int i = 0; i < 2; i++)
        while (s->out[i] >= 0 && pass_on(&s->out[i], to[i]) > 0)
            continue;
}

void sb_streams_free(struct sb_streams *s) {
    if (!s)
        return;
    if (s->raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &s->saved);
    for (int i = 0; i < 3; i++)
        sb_close_descriptor(&s->child[i]);
    sb_close_descriptor(&s->in);
    sb_close_descriptor(&s->out[0]);
    sb_close_descriptor(&s->out[1]);
    if (s->signals >= 0)
        pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
    sb_close_descriptor(&s->signals);
    explicit_bzero(s->bytes, sizeof s->bytes);
    free(s);
}
