#include "base/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static atomic_int interrupt_signal;
static int interrupt_pipe[2] = {-1, -1};

static void on_interrupt(int signal) {
    int saved = errno;
    int none = 0;
    if (atomic_compare_exchange_strong(&interrupt_signal, &none, signal) &&
        interrupt_pipe[1] >= 0) {
        ssize_t ignored = write(interrupt_pipe[1], "", 1);
        (void)ignored;
    }
    errno = saved;
}

void sb_interrupt_install(void) {
    if (pipe2(interrupt_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        interrupt_pipe[0] = interrupt_pipe[1] = -1;
    struct sigaction action = {.sa_handler = on_interrupt};
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction old;
        /* Whoever has it ignored (nohup, a shell's job in the background) means it. */
        if (sigaction(signals[i], NULL, &old) < 0 || old.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* the write fails, which can be told */
}

int sb_interrupt_signal(void) {
    return atomic_load(&interrupt_signal);
}

int sb_interrupt_fd(void) {
    return interrupt_pipe[0];
}

int sb_interrupt_check(struct sb_error *err) {
    int signal = sb_interrupt_signal();
    if (!signal)
        return 0;
    return sb_fail(err, SB_E_INTERRUPTED, "interrupted (%s)", strsignal(signal));
}
