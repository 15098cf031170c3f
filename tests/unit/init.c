/* sbuild-init: what it passes on, whom it tells, and how it ends. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char program[4200];

struct service {
    pid_t pid;
    int said; /* the other end of its output */
    char text[65536];
    size_t len;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* As systemd starts it: output and error are one socket. */
static struct service start(const char *seconds, const char *script) {
    struct service s = {.said = -1};
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return s;
    s.pid = fork();
    if (s.pid == 0) {
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        execl(program, program, seconds, "15", "/bin/sh", "-c", script, NULL);
        _exit(99);
    }
    close(ends[1]);
    s.said = ends[0];
    return s;
}

static void hear(struct service *s, const char *until) {
    double last = now() + 10;
    while (now() < last && !(until && strstr(s->text, until))) {
        struct pollfd ready = {.fd = s->said, .events = POLLIN};
        if (poll(&ready, 1, 100) <= 0)
            continue;
        ssize_t n = read(s->said, s->text + s->len, sizeof s->text - 1 - s->len);
        if (n <= 0)
            return;
        s->len += (size_t)n;
        s->text[s->len] = '\0';
    }
}

static int end(struct service *s) {
    int status = 0;
    hear(s, NULL);
    waitpid(s->pid, &status, 0);
    close(s->said);
    return status;
}

static void test_output(void) {
    struct service s = start("5", "echo one; echo two >&2; echo three >/dev/stdout; echo four "
                                  ">>/dev/stderr; echo five >/proc/self/fd/1; printf six");
    CHECK_INT(end(&s), 0);
    CHECK_STR(s.text, "one\ntwo\nthree\nfour\nfive\nsix");
    struct service much = start("5", "head -c 60000 /dev/zero | tr '\\0' x; exit 7");
    CHECK_INT(WEXITSTATUS(end(&much)), 7);
    CHECK_INT(much.len, 60000);
}

static void test_ends(void) {
    struct service killed = start("5", "kill -KILL $$");
    int status = end(&killed);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    struct service crashed = start("5", "ulimit -c 0; kill -SEGV $$");
    status = end(&crashed);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    struct service none = start("5", "exec /not/there");
    CHECK_INT(WEXITSTATUS(end(&none)), 127);
    if (fork() == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        execl(program, program, "1", "15", "/not/there", NULL);
    }
    wait(&status);
    CHECK_INT(WEXITSTATUS(status), 203);
}

static void test_signals(void) {
    struct service s =
        start("5", "trap 'echo told' USR1; trap 'echo bye; exit 4' TERM; echo ready; "
                   "while :; do sleep 0.05; done");
    hear(&s, "ready");
    kill(s.pid, SIGUSR1);
    hear(&s, "told");
    kill(s.pid, SIGTERM);
    CHECK_INT(WEXITSTATUS(end(&s)), 4);
    CHECK_STR(s.text, "ready\ntold\nbye\n");
}

/* The shell ends at once; what it stood for has its time. */
static void test_wrapper(void) {
    struct service s = start("5", "sh -c 'trap \"sleep 0.5; echo done; exit\" TERM; echo ready; "
                                  "while :; do sleep 0.05; done' & wait");
    hear(&s, "ready");
    kill(s.pid, SIGTERM);
    int status = end(&s);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK_STR(s.text, "ready\ndone\n");
}

/* Processes of one that sees to them are not told, those that nobody sees to are. */
static void test_supervisor(void) {
    struct service s = start(
        "5", "sh -c 'trap \"echo worker told\" TERM; echo ready; for i in 1 2 3 4 5 6 7 8; do "
             "sleep 0.1; done; echo worker done' & trap 'wait; echo over; exit 0' TERM; wait");
    hear(&s, "ready");
    kill(s.pid, SIGTERM);
    CHECK_INT(end(&s), 0);
    CHECK_STR(s.text, "ready\nworker done\nover\n");
}

static void test_left(void) {
    double began = now();
    struct service s = start(
        "1", "sh -c 'trap \"\" TERM; echo deaf; while :; do sleep 0.05; done' & sleep 0.3; exit 3");
    CHECK_INT(WEXITSTATUS(end(&s)), 3);
    CHECK(now() - began > 1 && now() - began < 4);
    /* One that stops itself is told as well; one that is gone already leaves no trace. */
    struct service stopped =
        start("5", "sh -c 'kill -STOP $$' & sleep 0.3; (sleep 0.1 &) ; exit 0");
    began = now();
    CHECK_INT(end(&stopped), 0);
    CHECK(now() - began < 4);
}

/* Nothing that it was given stays open in it. */
static void test_descriptors(void) {
    int ends[2];
    struct service s;
    if (!CHECK(pipe(ends) == 0))
        return;
    char number[16];
    snprintf(number, sizeof number, "%d", ends[1]);
    setenv("GIVEN", number, 1);
    s = start("5", "eval \"exec $GIVEN>&-\"; echo ready; sleep 1000");
    close(ends[1]);
    hear(&s, "ready");
    struct pollfd closed = {.fd = ends[0], .events = POLLIN};
    CHECK_INT(poll(&closed, 1, 2000), 1); /* nobody writes any more */
    kill(s.pid, SIGTERM);
    end(&s);
    close(ends[0]);
}

int main(void) {
    const char *build = getenv("SB_BUILD");
    snprintf(program, sizeof program, "%s/sbuild-init", build ? build : "build/release");
    test_output();
    test_ends();
    test_signals();
    test_wrapper();
    test_supervisor();
    test_left();
    test_descriptors();
    return test_done();
}
