/* Invariants: what is broken ends the process, and says where; a release does not even look. */
#include "base/assert.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

static int compare(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

static void break_value(void) {
    int n = 3;
    sb_assert(n < 3);
}

static void break_lock(void) {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    sb_assert_locked(&lock);
}

static void break_order(void) {
    int v[] = {1, 3, 3};
    sb_assert_sorted(v, 3, compare);
}

/* What a process that does so ends with: its status, or the signal. */
static int end_of(void (*run)(void), char *said, size_t size) {
    int ends[2];
    if (!CHECK(pipe(ends) == 0))
        return -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        run();
        _exit(0);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], said, size - 1);
    said[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_broken(void) {
    static const struct {
        void (*run)(void);
        const char *says;
    } cases[] = {{break_value, "n < 3 does not hold"},
                 {break_lock, "sb_mutex_is_locked(&lock) does not hold"},
                 {break_order, "does not hold"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char said[512];
        int end = end_of(cases[i].run, said, sizeof said);
#ifdef SB_ASSERTIONS
        CHECK_INT(end, SIGABRT);
        CHECK(strstr(said, "tests/unit/assert.c:") != NULL);
        CHECK(strstr(said, cases[i].says) != NULL);
#else
        CHECK_INT(end, 0);
        CHECK_STR(said, "");
#endif
    }
}

static void test_whole(void) {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int v[] = {1, 2, 3}, looked = 0;
    pthread_mutex_lock(&lock);
    sb_assert_locked(&lock);
    pthread_mutex_unlock(&lock);
    CHECK(pthread_mutex_trylock(&lock) == 0); /* nobody kept it */
    pthread_mutex_unlock(&lock);
    sb_assert_sorted(v, 3, compare);
    sb_assert_sorted(v, 0, compare);
    sb_assert(++looked > 0);
#ifdef SB_ASSERTIONS
    CHECK_INT(looked, 1);
#else
    CHECK_INT(looked, 0);
#endif
    CHECK(sb_thread_count() >= 1);
}

int main(void) {
    test_broken();
    test_whole();
    return test_done();
}
