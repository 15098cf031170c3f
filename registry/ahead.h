/*
 * registry/ahead: the upload of a blob that is still being written.
 *
 *     struct sb_ahead *ahead = sb_ahead_new(remote, &options);
 *     sb_ahead_grow(ahead, fd, size)              as often as it grows: from one chunk on it is
 * sent sb_ahead_finish(ahead, &blob, fd, &err)     it is whole: sends what is left
 *     sb_ahead_free(ahead);
 *
 * Nothing depends on it: whatever goes wrong, the blob can be uploaded as any other once it is
 * there, and then what is wrong is told.
 */
#ifndef SB_REGISTRY_AHEAD_H
#define SB_REGISTRY_AHEAD_H

#include "registry/remote.h"

struct sb_ahead_options {
    int (*prepare)(void *data, struct sb_error *err); /* before the first request; may be NULL */
    void *data;
};

struct sb_ahead;

/* Never fails, asks nobody, starts no thread yet. */
struct sb_ahead *sb_ahead_new(struct sb_remote *remote, const struct sb_ahead_options *options);
/* The first size bytes are in the file, and will not change. Waits for nothing. fd, for reading, is
 * needed during the first call only. */
void sb_ahead_grow(struct sb_ahead *ahead, int fd, uint64_t size);
/* What was sent is in vain: the registry is told to forget it. Waits for nothing. */
void sb_ahead_drop(struct sb_ahead *ahead);
/* The blob is whole, and in fd, which must stay open meanwhile. 0: the registry has it now; -1: it
 * must be uploaded as if nothing had been sent. progress (may be NULL) is called as by
 * sb_remote_blob_put. */
int sb_ahead_finish(struct sb_ahead *ahead, const struct sb_descriptor *blob, int fd,
                    void (*progress)(void *data, uint64_t sent), void *data);
/* NULL is allowed; drops what is not finished, and waits until the registry was told. */
void sb_ahead_free(struct sb_ahead *ahead);

#endif
