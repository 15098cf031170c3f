/*
 * base/assert: what must be so, whatever anybody did. A broken invariant is a fault of sbuild
 * itself, never of a user, a file or a peer: those get errors (base/error.h).
 *
 * On in the configurations debug, asan, tsan, fuzz and cover: the process says where and aborts. In
 * a release nothing is evaluated, so a condition must have no effects.
 */
#ifndef SB_BASE_ASSERT_H
#define SB_BASE_ASSERT_H

#include <pthread.h>
#include <stdbool.h>

#ifdef SB_ASSERTIONS
#define sb_assert(condition)                                                                       \
    ((condition) ? (void)0 : sb_assert_failed(#condition, __FILE__, __LINE__, __func__))
#else
#define sb_assert(condition) ((void)(0 && (condition)))
#endif

/* Whoever calls holds it; that somebody does is what can be seen. Not for recursive mutexes. */
#define sb_assert_locked(mutex) sb_assert(sb_mutex_is_locked(mutex))
/* v[0..n): each before the next by compare, as for qsort; strictly. */
#define sb_assert_sorted(v, n, compare) sb_assert(sb_is_sorted((v), (n), sizeof *(v), (compare)))
/* This process has one thread: what the kernel asks for of who enters a user namespace. */
#define sb_assert_one_thread() sb_assert(sb_thread_count() <= 1)

_Noreturn void sb_assert_failed(const char *condition, const char *file, int line,
                                const char *function);
bool sb_mutex_is_locked(const pthread_mutex_t *mutex);
bool sb_is_sorted(const void *v, size_t n, size_t size,
                  int (*compare)(const void *a, const void *b));
int sb_thread_count(void); /* 0 where /proc does not say */

#endif
