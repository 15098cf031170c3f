#include "base/jobs.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"

struct job {
    sb_job *run;
    void *data;
    bool done; /* or left out */
};

struct sb_jobs {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *v;
    size_t n, cap;
    size_t next;    /* the first that has not begun */
    size_t running; /* jobs under way */
    pthread_t *threads;
    int thread_count, thread_limit, idle;
    void (*when_failed)(void *data);
    void *when_failed_data;
    bool stop, failed;
    struct sb_error failure; /* of the first that failed */
};

struct sb_jobs *sb_jobs_new(int threads) {
    struct sb_jobs *jobs = sb_alloc(sizeof *jobs);
    jobs->thread_limit = threads < 1 ? 1 : threads;
    jobs->threads = sb_alloc((size_t)jobs->thread_limit * sizeof *jobs->threads);
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->changed, NULL);
    return jobs;
}

void sb_jobs_when_failed(struct sb_jobs *jobs, void (*failed)(void *data), void *data) {
    jobs->when_failed = failed;
    jobs->when_failed_data = data;
}

/* The lock is held, but while the job runs. */
static void run_next(struct sb_jobs *jobs) {
    sb_assert_locked(&jobs->lock);
    sb_assert(jobs->next < jobs->n);
    size_t number = jobs->next++;
    struct job job = jobs->v[number]; /* the array may move meanwhile */
    struct sb_error err = {0};
    int failed = 0;
    if (!jobs->failed && !jobs->stop) {
        jobs->running++;
        pthread_mutex_unlock(&jobs->lock);
        failed = job.run(job.data, &err);
        pthread_mutex_lock(&jobs->lock);
        jobs->running--;
    }
    if (failed && !jobs->failed) {
        jobs->failed = true;
        jobs->failure = err; /* before others are told, whose failures follow from this one */
        if (jobs->when_failed)
            jobs->when_failed(jobs->when_failed_data);
    }
    jobs->v[number].done = true;
    pthread_cond_broadcast(&jobs->changed);
}

static void *work(void *data) {
    struct sb_jobs *jobs = data;
    pthread_mutex_lock(&jobs->lock);
    while (!jobs->stop) {
        if (jobs->next < jobs->n) {
            run_next(jobs);
            continue;
        }
        jobs->idle++;
        pthread_cond_wait(&jobs->changed, &jobs->lock);
        jobs->idle--;
    }
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

/* The lock is held. */
static void start_thread(struct sb_jobs *jobs) {
    sb_assert_locked(&jobs->lock);
    if (sb_thread_start(&jobs->threads[jobs->thread_count], work, jobs) == 0)
        jobs->thread_count++;
}

size_t sb_jobs_add(struct sb_jobs *jobs, sb_job *run, void *data) {
    pthread_mutex_lock(&jobs->lock);
    SB_GROW(jobs->v, jobs->n, jobs->cap);
    size_t number = jobs->n++;
    jobs->v[number] = (struct job){.run = run, .data = data};
    if (jobs->thread_count < jobs->thread_limit && (size_t)jobs->idle < jobs->n - jobs->next)
        start_thread(jobs);
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    return number;
}

/* The lock is held. Where no thread could be had, the one that waits does the work. */
static void wait_a_little(struct sb_jobs *jobs) {
    sb_assert_locked(&jobs->lock);
    if (jobs->thread_count == 0 && jobs->next < jobs->n)
        run_next(jobs);
    else
        pthread_cond_wait(&jobs->changed, &jobs->lock);
}

static int result(struct sb_jobs *jobs, struct sb_error *err) {
    if (jobs->failed && err)
        *err = jobs->failure;
    return jobs->failed ? -1 : 0;
}

int sb_jobs_wait_for(struct sb_jobs *jobs, size_t job, struct sb_error *err) {
    pthread_mutex_lock(&jobs->lock);
    sb_assert(job < jobs->n);
    while (!jobs->v[job].done)
        wait_a_little(jobs);
    int rc = result(jobs, err);
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

int sb_jobs_wait(struct sb_jobs *jobs, struct sb_error *err) {
    pthread_mutex_lock(&jobs->lock);
    while (jobs->next < jobs->n || jobs->running > 0)
        wait_a_little(jobs);
    int rc = result(jobs, err);
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

void sb_jobs_recover(struct sb_jobs *jobs) {
    pthread_mutex_lock(&jobs->lock);
    jobs->failed = false;
    pthread_mutex_unlock(&jobs->lock);
}

void sb_jobs_free(struct sb_jobs *jobs) {
    if (!jobs)
        return;
    pthread_mutex_lock(&jobs->lock);
    jobs->stop = true;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    for (int i = 0; i < jobs->thread_count; i++)
        pthread_join(jobs->threads[i], NULL);
    pthread_mutex_destroy(&jobs->lock);
    pthread_cond_destroy(&jobs->changed);
    free(jobs->threads);
    free(jobs->v);
    free(jobs);
}
