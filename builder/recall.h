/*
 * builder/recall: what the records of a large build said the last time, in one file.
 *
 * A build of many layers that has nothing to do would open, read and parse a record for each. This
 * file has what they said, and of each record which file it was: one that was replaced or removed
 * since is read itself. Nothing is lost with it. Format: docs/formats.md, "Recalled records".
 */
#ifndef SB_BUILDER_RECALL_H
#define SB_BUILDER_RECALL_H

#include <stdbool.h>

#include "base/digest.h"
#include "layers/parts.h"
#include "layers/store.h"

struct sb_recall;

/* name: of the build, which finds it again. A missing or damaged file is an empty one. */
struct sb_recall *sb_recall_open(struct sb_store *store, const char *name);
/* Writes what was added, if anything, and frees. Failing to write is no error. NULL is allowed, as
 * in all that follows. */
void sb_recall_close(struct sb_recall *recall);

/* What the record of the key says, if it is the one that was read then; valid until the next put.
 */
const struct sb_parts *sb_recall_find(struct sb_recall *recall, const struct sb_digest *key);
/* Of a record that was read just now, or written. */
void sb_recall_put(struct sb_recall *recall, const struct sb_digest *key,
                   const struct sb_parts *parts);

#endif
