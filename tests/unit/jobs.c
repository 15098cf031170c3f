/* A few threads that do what is added, in order, until something fails. */
#include "base/jobs.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "base/cancel.h"
#include "base/thread.h"
#include "tests/unit/test.h"

static atomic_int running, most, done;

static void pause_ms(int ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

static int count(void *data, struct sb_error *err) {
    (void)err;
    int now = atomic_fetch_add(&running, 1) + 1, seen = atomic_load(&most);
    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        ;
    pause_ms(*(int *)data);
    atomic_fetch_sub(&running, 1);
    atomic_fetch_add(&done, 1);
    return 0;
}

static int fail(void *data, struct sb_error *err) {
    return sb_fail(err, SB_E_NETWORK, "%s", (const char *)data);
}

static void test_all(void) {
    int ms = 2;
    struct sb_error err = {0};
    struct sb_jobs *jobs = sb_jobs_new(3);
    CHECK_INT(sb_jobs_wait(jobs, &err), 0);
    for (int i = 0; i < 40; i++)
        CHECK_INT(sb_jobs_add(jobs, count, &ms), i);
    CHECK_INT(sb_jobs_wait_for(jobs, 39, &err), 0);
    CHECK(done >= 38);
    CHECK_INT(sb_jobs_wait(jobs, &err), 0);
    CHECK_INT(done, 40);
    CHECK_INT(most, 3);
    sb_jobs_add(jobs, count, &ms); /* the same threads go on */
    CHECK_INT(sb_jobs_wait(jobs, &err), 0);
    CHECK_INT(done, 41);
    sb_jobs_free(jobs);
    sb_jobs_free(NULL);
}

static void test_failure(void) {
    int ms = 30, none = 0;
    struct sb_error err = {0};
    struct sb_jobs *jobs = sb_jobs_new(2);
    done = 0;
    sb_jobs_add(jobs, count, &ms);
    sb_jobs_add(jobs, fail, "first");
    sb_jobs_add(jobs, fail, "second");
    size_t left_out = sb_jobs_add(jobs, count, &none);
    CHECK_INT(sb_jobs_wait_for(jobs, left_out, &err), -1);
    CHECK_STR(err.message, "first");
    CHECK_INT(err.code, SB_E_NETWORK);
    CHECK_INT(sb_jobs_wait(jobs, &err), -1);
    CHECK_INT(done, 1); /* what was under way was waited for */
    sb_jobs_recover(jobs);
    sb_jobs_add(jobs, count, &none);
    CHECK_INT(sb_jobs_wait(jobs, &err), 0);
    CHECK_INT(done, 2);
    sb_jobs_free(jobs);
}

static void tell(void *data) {
    sb_cancel_set(data);
}

/* In a thread of its own, where no CHECK may stand. */
static atomic_int were_told;

static int until_cancelled(void *data, struct sb_error *err) {
    struct pollfd fd = {.fd = sb_cancel_fd(data), .events = POLLIN};
    if (poll(&fd, 1, 5000) == 1)
        were_told++;
    return sb_cancel_check(data, err);
}

/* The first failure ends what is under way, and is the one that is told. */
static void test_cancel(void) {
    struct sb_error err = {0};
    struct sb_cancel *cancel = sb_cancel_new();
    struct sb_jobs *jobs = sb_jobs_new(3);
    CHECK_INT(sb_cancel_check(cancel, &err), 0);
    CHECK_INT(sb_cancel_check(NULL, &err), 0);
    sb_jobs_when_failed(jobs, tell, cancel);
    sb_jobs_add(jobs, until_cancelled, cancel);
    sb_jobs_add(jobs, until_cancelled, cancel);
    sb_jobs_add(jobs, fail, "the cause");
    CHECK_INT(sb_jobs_wait(jobs, &err), -1);
    CHECK_STR(err.message, "the cause");
    CHECK_INT(were_told, 2);
    sb_jobs_free(jobs);
    sb_cancel_free(cancel);
}

/* What has not begun when nobody wants it any more. */
static void test_free(void) {
    int ms = 20;
    done = 0;
    struct sb_jobs *jobs = sb_jobs_new(1);
    for (int i = 0; i < 10; i++)
        sb_jobs_add(jobs, count, &ms);
    pause_ms(5);
    sb_jobs_free(jobs);
    CHECK(done <= 1);
}

static void *look_at_mask(void *data) {
    pthread_sigmask(SIG_SETMASK, NULL, data);
    return NULL;
}

/* Signals are for the thread that started others, whose own mask stays. */
static void test_thread(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    sigset_t there, before, after;
    pthread_t thread;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    sigemptyset(&there);
    if (!CHECK_INT(sb_thread_start(&thread, look_at_mask, &there), 0))
        return;
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        CHECK_INT(sigismember(&there, signals[i]), 1);
        CHECK_INT(sigismember(&after, signals[i]), sigismember(&before, signals[i]));
    }
    CHECK(sb_core_count() >= 1);
}

int main(void) {
    test_thread();
    test_all();
    test_failure();
    test_cancel();
    test_free();
    return test_done();
}
