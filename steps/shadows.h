/*
 * steps/shadows: which files of a stack of layers stand in the place of others below them.
 *
 * Layers' files have one time, so that nobody could tell by times that such a file is newer than
 * what was made from the one it replaced (steps/times.h).
 */
#ifndef SB_STEPS_SHADOWS_H
#define SB_STEPS_SHADOWS_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/store.h"

struct sb_shadows {
    struct sb_strings paths; /* candidates, "a/b": regular files in two layers or more; whether they
                                differ, and are visible, is left to see */
    int64_t newest;          /* mtime of any file of the layers, in seconds; not beyond now */
};

/* trees: of the layers, lowest first; their tables of contents are used where the store has them.
 * epoch: files with another time than this are no candidates: times tell their age. */
int sb_shadows_find(struct sb_store *store, const struct sb_strings *trees, int64_t epoch,
                    struct sb_shadows *out, struct sb_error *err);
void sb_shadows_free(struct sb_shadows *shadows);

/* The diff ID of the layer behind a tree's path; false for one that has none yet. */
bool sb_shadows_layer(const char *tree, struct sb_digest *out);

#endif
