#include "layers/arriving.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"

#define LOOK_UP 200000000 /* nanoseconds */

enum state { ARRIVING, ARRIVED, BROKEN };

struct sb_arriving {
    struct sb_arrivals *all;
    struct sb_arriving *next; /* of all; guarded by their mutex, as fd and users are */
    struct sb_digest digest;
    int fd; /* -1: taken */
    unsigned users;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t moved;
    uint64_t written;
    enum state state;
};

static void let_go(struct sb_arriving *a) {
    pthread_mutex_lock(&a->all->mutex);
    sb_assert(a->users > 0);
    bool last = --a->users == 0;
    pthread_mutex_unlock(&a->all->mutex);
    if (!last)
        return;
    sb_close_descriptor(&a->fd);
    pthread_cond_destroy(&a->moved);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

struct sb_arriving *sb_arriving_new(struct sb_arrivals *all, const struct sb_digest *digest,
                                    int tmp, const char *name) {
    int fd = openat(tmp, name, SB_FILE_FLAGS | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    struct sb_arriving *a = sb_alloc(sizeof *a);
    *a = (struct sb_arriving){.all = all, .digest = *digest, .fd = fd, .users = 1};
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->moved, NULL);
    pthread_mutex_lock(&all->mutex);
    a->next = all->first;
    all->first = a;
    pthread_mutex_unlock(&all->mutex);
    return a;
}

void sb_arriving_written(struct sb_arriving *a, uint64_t size) {
    pthread_mutex_lock(&a->lock);
    sb_assert(a->state == ARRIVING && size >= a->written);
    a->written = size;
    pthread_cond_signal(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

void sb_arriving_end(struct sb_arriving *a, bool good) {
    if (!a)
        return;
    pthread_mutex_lock(&a->all->mutex);
    struct sb_arriving **place = &a->all->first;
    while (*place != a)
        place = &(*place)->next;
    *place = a->next;
    pthread_mutex_unlock(&a->all->mutex);
    pthread_mutex_lock(&a->lock);
    a->state = good ? ARRIVED : BROKEN;
    pthread_cond_signal(&a->moved);
    pthread_mutex_unlock(&a->lock);
    let_go(a);
}

struct sb_arriving *sb_arriving_follow(struct sb_arrivals *all, const struct sb_digest *digest,
                                       int *out_fd) {
    pthread_mutex_lock(&all->mutex);
    struct sb_arriving *a = all->first;
    while (a && !(a->fd >= 0 && sb_digest_equal(&a->digest, digest)))
        a = a->next;
    if (a) {
        a->users++;
        *out_fd = sb_steal_fd(&a->fd);
    }
    pthread_mutex_unlock(&all->mutex);
    return a;
}

static struct timespec look_up_at(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += LOOK_UP;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

int sb_arriving_wait(struct sb_arriving *a, uint64_t size, const atomic_bool *stop,
                     struct sb_error *err) {
    int rc = 0;
    pthread_mutex_lock(&a->lock);
    while (rc == 0 && a->state == ARRIVING && a->written < size) {
        struct timespec until = look_up_at();
        pthread_cond_timedwait(&a->moved, &a->lock, &until);
        rc = atomic_load(stop) ? sb_fail(err, SB_E_FAILED, "reading was given up")
                               : sb_interrupt_check(err);
    }
    if (rc == 0 && a->state == BROKEN)
        rc = sb_fail(err, SB_E_FAILED, "the blob %s did not arrive",
                     sb_digest_text(&a->digest).text);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

void sb_arriving_leave(struct sb_arriving *a) {
    if (a)
        let_go(a);
}
