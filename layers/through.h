/*
 * layers/through: where the entries of a layer lie whose names go through symlinks of that layer.
 *
 * A layer with `lib -> usr/lib` and then `lib/x` has x in usr/lib. Whoever reads it must see it
 * there, and not below a symlink: so the names are made plain where all read them (layers/walk.c).
 * Symlinks of other layers don't count: a name that goes through one replaces it by a directory.
 */
#ifndef SB_LAYERS_THROUGH_H
#define SB_LAYERS_THROUGH_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/map.h"
#include "layers/entry.h"

/* Start from {0}. */
struct sb_through {
    struct sb_map links; /* path → index of its target in targets, + 1; 0: no symlink any more */
    struct sb_strings targets;  /* of all symlinks that there were */
    size_t count;               /* that there are */
    struct sb_buf parent, real; /* of the name before */
    bool known;                 /* they hold still */
};

/* Makes path, which is clean, plain: what leads to its last component has no symlinks then.
 * SB_E_INTEGRITY when there are too many on the way. */
int sb_through_resolve(struct sb_through *through, struct sb_buf *path, struct sb_error *err);
/* The entry, whose path is plain, is there from now on. */
void sb_through_note(struct sb_through *through, const struct sb_entry *entry);
void sb_through_free(struct sb_through *through);

#endif
