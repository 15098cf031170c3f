/*
 * layers/merge: which entries of a stack of layers are seen in the file system that it makes,
 * decided while the layers pass by once, from the top one down, with nothing unpacked.
 *
 *     for (size_t i = image->layer_count; i-- > 0;) {
 *         sb_merge_lower(merge);
 *         for each entry of layer i: if (sb_merge_visit(merge, entry)) it is seen
 *     }
 *
 * From the top down the first entry of a path is the one that counts, so nothing needs to be taken
 * back. Memory: a few dozen bytes and the path for each path of the image.
 */
#ifndef SB_LAYERS_MERGE_H
#define SB_LAYERS_MERGE_H

#include <stdbool.h>

#include "base/error.h"
#include "layers/entry.h"

struct sb_merge;

struct sb_merge *sb_merge_new(void);
void sb_merge_free(struct sb_merge *merge); /* NULL is allowed */

/* The entries that follow are those of the next layer below; call it before the top one too. */
void sb_merge_lower(struct sb_merge *merge);

/* False for what a layer above hides or replaces, and for whiteouts. Entries of one layer may come
 * in any order; a path that a layer holds twice is seen twice. */
bool sb_merge_visit(struct sb_merge *merge, const struct sb_entry *entry);

/* The directories that are there and that no visible entry says anything of, in order of path;
 * layer counts from 1, the top one, downwards: the highest that has something in it. Once all
 * layers have gone by. */
typedef int sb_merge_implied_visit(void *self, const char *path, size_t layer,
                                   struct sb_error *err);
int sb_merge_implied(struct sb_merge *merge, sb_merge_implied_visit *visit, void *self,
                     struct sb_error *err);

/* SB_E_INTEGRITY once there are more names than an image may have (layers/entry.h), directories
 * that are only implied among them; or a layer had something below a file of its own. */
int sb_merge_check(const struct sb_merge *merge, struct sb_error *err);

#endif
