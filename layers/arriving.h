/*
 * layers/arriving: blobs that this process is just fetching, for a reader that follows the bytes
 * into the file instead of waiting for the last one.
 *
 * The digest is taken by whoever writes: a reader must not believe what it read before
 * sb_arriving_wait has said that the whole is there, which it says after the blob was verified and
 * published.
 */
#ifndef SB_LAYERS_ARRIVING_H
#define SB_LAYERS_ARRIVING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"

struct sb_arriving;

/* Those of a store. */
struct sb_arrivals {
    pthread_mutex_t mutex;
    struct sb_arriving *first;
};

/* The writer's side. name: of the file, in the directory tmp. NULL when it can't be opened. */
struct sb_arriving *sb_arriving_new(struct sb_arrivals *all, const struct sb_digest *digest,
                                    int tmp, const char *name);
void sb_arriving_written(struct sb_arriving *arriving, uint64_t size);
/* good: the blob is verified and in the store. NULL is allowed. */
void sb_arriving_end(struct sb_arriving *arriving, bool good);

/* The reader's side: the blob and a descriptor of its own, or NULL when none is arriving, or
 * another reader follows it. */
struct sb_arriving *sb_arriving_follow(struct sb_arrivals *all, const struct sb_digest *digest,
                                       int *out_fd);
/* Waits until the first size bytes are written, or the whole blob is there. */
int sb_arriving_wait(struct sb_arriving *arriving, uint64_t size, const atomic_bool *stop,
                     struct sb_error *err);
void sb_arriving_leave(struct sb_arriving *arriving); /* NULL is allowed */

#endif
