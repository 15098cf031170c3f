/*
 * layers/mend: what the trees of layers (layers/trees.h), each unpacked by itself, can't say of the
 * stack that they make under overlayfs:
 *
 *   - a directory that a layer only implies, as the parent of an entry, is root's and 0755 in its
 *     tree; in the stack it is what a layer below says;
 *   - a whiteout shows when its directory is read, unless overlayfs merges that directory with
 *     another;
 *   - a directory in which a layer has whiteouts alone is none.
 *
 * A mend is one more tree, for on top of all of them: the directories in question with their
 * attributes, and whiteouts of those that are none. Layers that mention every directory, and hide
 * only what there is, need none: most do.
 */
#ifndef SB_LAYERS_MEND_H
#define SB_LAYERS_MEND_H

#include <stdbool.h>

#include "base/error.h"
#include "layers/pack.h"
#include "layers/store.h"

struct sb_mend_stack {
    const struct sb_layer *const *layers; /* lowest first */
    const char *const *trees;             /* theirs, on one file system with the mend */
    size_t count;
    const char
        *below; /* a directory below all of them, of root's directories with mode 0755; NULL */
};

/* Makes the directory path when there is something to mend, and says so in *out_made. Where the
 * table of contents of a layer can't be had nothing is mended, and nothing said; ask for them
 * (sb_layer_contents) before, if that matters. */
int sb_mend_make(struct sb_store *store, const struct sb_mend_stack *what, const char *path,
                 bool *out_made, struct sb_error *err);

#endif
