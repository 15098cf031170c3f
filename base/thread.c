#include "base/thread.h"

#include <sched.h>
#include <signal.h>
#include <time.h>

#include "base/assert.h"

int sb_thread_start(pthread_t *out, void *(*run)(void *data), void *data) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(out, NULL, run, data);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

void sb_thread_settle(void) {
    static const struct timespec millisecond = {.tv_nsec = 1000000};
    for (int i = 0; i < 1000 && sb_thread_count() > 1; i++)
        nanosleep(&millisecond, NULL);
}

int sb_core_count(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? count : 1;
}
