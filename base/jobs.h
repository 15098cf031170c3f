/*
 * base/jobs: work for a few threads, as it comes.
 *
 *     struct sb_jobs *jobs = sb_jobs_new(4);
 *     size_t first = sb_jobs_add(jobs, run, data);     from any thread
 *     sb_jobs_wait_for(jobs, first, &err)              for that one
 *     sb_jobs_wait(jobs, &err)                         for all
 *     sb_jobs_free(jobs);
 *
 * Threads are started as there is work for them, so that jobs that never come cost nothing. Once a
 * job has failed, those that have not begun are left out.
 */
#ifndef SB_BASE_JOBS_H
#define SB_BASE_JOBS_H

#include <stddef.h>

#include "base/error.h"

struct sb_jobs;

typedef int sb_job(void *data, struct sb_error *err);

struct sb_jobs *sb_jobs_new(int threads);
/* Before the first job is added: called once, from the thread of the first job that failed. */
void sb_jobs_when_failed(struct sb_jobs *jobs, void (*failed)(void *data), void *data);
/* Begun in the order they were added. data must live until it is done. The result names the job,
 * counting from 0. */
size_t sb_jobs_add(struct sb_jobs *jobs, sb_job *run, void *data);
/* 0 when that job was done well; else the error of the first that failed. */
int sb_jobs_wait_for(struct sb_jobs *jobs, size_t job, struct sb_error *err);
/* Waits for all that were added, and for those under way after a failure. */
int sb_jobs_wait(struct sb_jobs *jobs, struct sb_error *err);
/* Forgets a failure, once it was waited for: jobs may be added again, and may fail again. */
void sb_jobs_recover(struct sb_jobs *jobs);
/* Leaves out what has not begun, waits for what has. NULL is allowed. */
void sb_jobs_free(struct sb_jobs *jobs);

#endif
