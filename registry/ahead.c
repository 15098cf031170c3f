#include "registry/ahead.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

struct sb_ahead {
    struct sb_remote *remote;
    struct sb_ahead_options options;
    int stop; /* readable once dropped */
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

struct sb_ahead *sb_ahead_new(struct sb_remote *remote, const struct sb_ahead_options *options) {
    struct sb_ahead *ahead = sb_alloc(sizeof *ahead);
    ahead->remote = remote;
    ahead->options = *options;
    ahead->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
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
    struct sb_remote_upload upload = {.fd = ahead->fd,
                                      .unverified = true,
                                      .progress = show,
                                      .data = ahead,
                                      .more = more,
                                      .stop = &ahead->stop};
    int failed = ahead->options.prepare ? ahead->options.prepare(ahead->options.data, &ignored) : 0;
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

/* The lock is held. Signals are for the thread that waits for them. */
static void start(struct sb_ahead *ahead) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ahead->started = pthread_create(&ahead->thread, NULL, run, ahead) == 0;
    ahead->dropped = !ahead->started;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void sb_ahead_grow(struct sb_ahead *ahead, int fd, uint64_t size) {
    pthread_mutex_lock(&ahead->lock);
    if (ahead->fd < 0)
        ahead->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
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
    if (ahead->stop >= 0)
        eventfd_write(ahead->stop, 1);
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

void sb_ahead_free(struct sb_ahead *ahead) {
    if (!ahead)
        return;
    sb_ahead_drop(ahead);
    if (ahead->started)
        pthread_join(ahead->thread, NULL);
    sb_close_descriptor(&ahead->fd);
    sb_close_descriptor(&ahead->stop);
    pthread_mutex_destroy(&ahead->lock);
    pthread_cond_destroy(&ahead->changed);
    free(ahead);
}
