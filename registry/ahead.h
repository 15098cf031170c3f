/*
 * registry/ahead: the upload of a blob that is still being written.
 *
 *     sb_aheads_grow(aheads, id, fd, size)        as often as it grows: sent from one chunk on
 *     ahead = sb_aheads_take(aheads, id)          it is whole: then either
 *     sb_ahead_finish(ahead, &blob, fd, …)        sends what is left, or
 *     sb_ahead_drop(ahead)                        has the registry forget what it has
 *
 * Nothing depends on it: whatever goes wrong, the blob can be uploaded as any other once it is
 * there, and then what is wrong is told.
 */
#ifndef SB_REGISTRY_AHEAD_H
#define SB_REGISTRY_AHEAD_H

#include "registry/remote.h"

struct sb_ahead;

/* The blob is whole, and in fd, which must stay open meanwhile. 0: the registry has it now; -1: it
 * must be uploaded as if nothing had been sent. progress (may be NULL) is called as by
 * sb_remote_blob_put. Once for each. */
int sb_ahead_finish(struct sb_ahead *ahead, const struct sb_descriptor *blob, int fd,
                    void (*progress)(void *data, uint64_t sent), void *data);
/* What was sent is in vain: the registry is told to forget it. Waits for nothing. */
void sb_ahead_drop(struct sb_ahead *ahead);

/* Those to one repository; whoever writes calls each of his blobs by a number. */
struct sb_aheads;

/* Asks nobody, starts no thread yet. prepare is called before a first request. */
struct sb_aheads *sb_aheads_new(const struct sb_remote *remote,
                                int (*prepare)(void *data, struct sb_error *err), void *data);
/* The first size bytes of that blob are in the file, and will not change; 0: it is dropped, or
 * begins anew. Waits for nothing; fd, for reading, is needed during the call only. */
void sb_aheads_grow(struct sb_aheads *aheads, size_t id, int fd, uint64_t size);
/* The blob is whole: that number may be used again. NULL when none grew under it. */
struct sb_ahead *sb_aheads_take(struct sb_aheads *aheads, size_t id);
/* All of them, and those to come. */
void sb_aheads_drop(struct sb_aheads *aheads);
/* NULL is allowed; drops what is not finished, and waits until the registry was told. */
void sb_aheads_free(struct sb_aheads *aheads);

#endif
