#include "registry/ahead.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/thread.h"

struct sb_aheads {
    const struct sb_remote *remote;
    int (*prepare)(void *data, struct sb_error *err);
    void *data;
    pthread_mutex_t lock; /* guards all below, and id and taken of each */
    struct sb_ahead **v;
    size_t n, cap;
    bool dropped;
};

struct sb_ahead {
    struct sb_remote *remote;
    const struct sb_aheads *all;
    size_t id;
    bool taken;
    struct sb_cancel *cancel; /* of remote, which is this one's own */
    pthread_t thread;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    int fd; /* of its own, or -1 */
    uint64_t size;
    bool started, whole, dropped, ended;
    int result; /* once ended */
    /* Once whole, what belongs to who waits for the end: */
    struct sb_descriptor blob;
    int whole_fd;
    void (*progress)(void *data, uint64_t sent);
    void *data;
};

static struct sb_ahead *new_ahead(const struct sb_aheads *all, size_t id) {
    const struct sb_remote *remote = all->remote;
    struct sb_ahead *ahead = sb_alloc(sizeof *ahead);
    ahead->all = all;
    ahead->id = id;
    ahead->remote = sb_remote_open(sb_remote_registry(remote), sb_remote_host(remote),
                                   sb_remote_repository(remote));
    ahead->cancel = sb_cancel_new();
    sb_remote_set_cancel(ahead->remote, ahead->cancel);
    ahead->fd = -1;
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->changed, NULL);
    return ahead;
}

/* ---- the thread ---- */

static int more(void *data, uint64_t wanted, struct sb_descriptor *blob, int *fd,
                struct sb_error *err) {
    struct sb_ahead *ahead = data;
    int rc = 0;
    pthread_mutex_lock(&ahead->lock);
    while (!ahead->dropped && !ahead->whole && ahead->size < wanted)
        pthread_cond_wait(&ahead->changed, &ahead->lock);
    if (ahead->dropped) {
        rc = sb_fail(err, SB_E_INTERRUPTED, "the blob is not needed any more");
    } else if (ahead->whole) {
        *blob = ahead->blob;
        *fd = ahead->whole_fd;
        rc = 1;
    } else {
        blob->size = ahead->size;
    }
    pthread_mutex_unlock(&ahead->lock);
    return rc;
}

static void show(void *data, uint64_t sent) {
    struct sb_ahead *ahead = data;
    pthread_mutex_lock(&ahead->lock);
    void (*progress)(void *data, uint64_t sent) = ahead->whole ? ahead->progress : NULL;
    pthread_mutex_unlock(&ahead->lock);
    if (progress)
        progress(ahead->data, sent);
}

static void *run(void *data) {
    struct sb_ahead *ahead = data;
    struct sb_error ignored = {0};
    struct sb_remote_upload upload = {
        .fd = ahead->fd, .unverified = true, .progress = show, .data = ahead, .more = more};
    int failed = ahead->all->prepare(ahead->all->data, &ignored);
    if (!failed)
        failed = sb_remote_blob_put(ahead->remote, &upload, &ignored);
    pthread_mutex_lock(&ahead->lock);
    ahead->ended = true;
    ahead->result = failed;
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

/* ---- whoever writes the blob ---- */

/* The lock is held. */
static void start(struct sb_ahead *ahead) {
    sb_assert_locked(&ahead->lock);
    sb_assert(!ahead->started && ahead->fd >= 0);
    ahead->started = sb_thread_start(&ahead->thread, run, ahead) == 0;
    ahead->dropped = !ahead->started;
}

static void grow(struct sb_ahead *ahead, int fd, uint64_t size) {
    pthread_mutex_lock(&ahead->lock);
    if (ahead->fd < 0)
        ahead->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    sb_assert(size >= ahead->size);
    ahead->size = size;
    if (!ahead->started && !ahead->dropped && ahead->fd >= 0 &&
        size >= sb_remote_upload_chunk(ahead->remote))
        start(ahead);
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
}

void sb_ahead_drop(struct sb_ahead *ahead) {
    pthread_mutex_lock(&ahead->lock);
    ahead->dropped = true;
    sb_cancel_set(ahead->cancel);
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
}

int sb_ahead_finish(struct sb_ahead *ahead, const struct sb_descriptor *blob, int fd,
                    void (*progress)(void *data, uint64_t sent), void *data) {
    int result = -1;
    pthread_mutex_lock(&ahead->lock);
    if (ahead->started && !ahead->dropped) {
        ahead->blob = *blob;
        ahead->whole_fd = fd;
        ahead->progress = progress;
        ahead->data = data;
        ahead->whole = true;
        pthread_cond_broadcast(&ahead->changed);
        while (!ahead->ended)
            pthread_cond_wait(&ahead->changed, &ahead->lock);
        result = ahead->result;
    }
    pthread_mutex_unlock(&ahead->lock);
    return result;
}

static void free_ahead(struct sb_ahead *ahead) {
    if (ahead->started)
        pthread_join(ahead->thread, NULL);
    sb_close_descriptor(&ahead->fd);
    sb_remote_free(ahead->remote);
    sb_cancel_free(ahead->cancel);
    pthread_mutex_destroy(&ahead->lock);
    pthread_cond_destroy(&ahead->changed);
    free(ahead);
}

/* ---- all of them ---- */

struct sb_aheads *sb_aheads_new(const struct sb_remote *remote,
                                int (*prepare)(void *data, struct sb_error *err), void *data) {
    struct sb_aheads *aheads = sb_alloc(sizeof *aheads);
    aheads->remote = remote;
    aheads->prepare = prepare;
    aheads->data = data;
    pthread_mutex_init(&aheads->lock, NULL);
    return aheads;
}

/* The lock is held. The one that isn't taken, or NULL. */
static struct sb_ahead *find(const struct sb_aheads *aheads, size_t id) {
    sb_assert_locked(&aheads->lock);
    for (size_t i = 0; i < aheads->n; i++)
        if (aheads->v[i]->id == id && !aheads->v[i]->taken)
            return aheads->v[i];
    return NULL;
}

void sb_aheads_grow(struct sb_aheads *aheads, size_t id, int fd, uint64_t size) {
    pthread_mutex_lock(&aheads->lock);
    struct sb_ahead *ahead = find(aheads, id);
    if (size > 0 && !aheads->dropped) {
        if (!ahead) {
            SB_GROW(aheads->v, aheads->n, aheads->cap);
            ahead = aheads->v[aheads->n++] = new_ahead(aheads, id);
        }
        grow(ahead, fd, size);
    } else if (ahead) {
        ahead->taken = true;
        sb_ahead_drop(ahead);
    }
    pthread_mutex_unlock(&aheads->lock);
}

struct sb_ahead *sb_aheads_take(struct sb_aheads *aheads, size_t id) {
    pthread_mutex_lock(&aheads->lock);
    struct sb_ahead *ahead = find(aheads, id);
    if (ahead)
        ahead->taken = true;
    pthread_mutex_unlock(&aheads->lock);
    return ahead;
}

void sb_aheads_drop(struct sb_aheads *aheads) {
    pthread_mutex_lock(&aheads->lock);
    aheads->dropped = true;
    for (size_t i = 0; i < aheads->n; i++)
        sb_ahead_drop(aheads->v[i]);
    pthread_mutex_unlock(&aheads->lock);
}

void sb_aheads_free(struct sb_aheads *aheads) {
    if (!aheads)
        return;
    sb_aheads_drop(aheads);
    for (size_t i = 0; i < aheads->n; i++)
        free_ahead(aheads->v[i]);
    pthread_mutex_destroy(&aheads->lock);
    free(aheads->v);
    free(aheads);
}
