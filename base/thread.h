/*
 * base/thread: how threads are started, and how many are of use.
 *
 * A signal is for the thread that waits for it (base/interrupt.h): every other one has all of them
 * blocked, so that the kernel never hands it one. Programs that are started get none blocked
 * (base/process.h).
 */
#ifndef SB_BASE_THREAD_H
#define SB_BASE_THREAD_H

#include <pthread.h>

/* As pthread_create: 0, or the number of the error when no thread is to be had. */
int sb_thread_start(pthread_t *out, void *(*run)(void *data), void *data);
/* A thread that was joined is one of the process's until the kernel has let go of it, a moment
 * later. Before what only a process of one thread may do, once all others were joined: waits for
 * that, a second at most. */
void sb_thread_settle(void);
/* How many this process may run at the same time: at least 1. */
int sb_core_count(void);

#endif
