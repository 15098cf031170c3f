/*
 * layers/closed: which files and directories of a tree are not everybody's to read.
 *
 *     STORE/sbuild/trees/HEX/closed     64 hexadecimal digits, the SHA-256 of what follows; a
 * newline; each path and a NUL. Made when first asked for
 *
 * Those are few, in most trees none. Who runs an image's files under another number has to look at
 * no others (deploy/node/renumber.h).
 */
#ifndef SB_LAYERS_CLOSED_H
#define SB_LAYERS_CLOSED_H

#include "base/digest.h"
#include "base/error.h"
#include "layers/store.h"

#define SB_CLOSED_ENTRIES 200000
#define SB_CLOSED_BYTES   (32u << 20) /* of their paths */

/* Regular files whose owner or group may read or run them and others may not, and directories
 * likewise; a directory before what is in it. Paths are relative, without symlinks. Stops when each
 * returns -1. More than the limits are SB_E_FAILED. */
typedef int sb_closed_entry(void *data, const char *path, struct sb_error *err);
int sb_closed_walk(int dir, sb_closed_entry *each, void *data, struct sb_error *err);

/* The same for a tree of the store, which must be there. */
int sb_closed_each(struct sb_store *store, const struct sb_digest *diff_id, sb_closed_entry *each,
                   void *data, struct sb_error *err);

#endif
