/*
 * layers/diff: what two images differ in, file by file.
 *
 * Most of it shows in the layers' tables of contents. Blobs are read for files of equal size and
 * for extended attributes, and a layer that both images share from the bottom up only if a file of
 * it is compared with one of equal size, or one that has extended attributes.
 * So an attribute that a shared layer has and the layer above dropped from a directory goes
 * unnoticed. Times are not compared, nor which names are hard links of each other.
 */
#ifndef SB_LAYERS_DIFF_H
#define SB_LAYERS_DIFF_H

#include "base/error.h"
#include "layers/entry.h"
#include "layers/image.h"
#include "layers/store.h"

enum sb_change_kind {
    SB_CHANGE_ADDED,
    SB_CHANGE_REMOVED,
    SB_CHANGE_CHANGED,
};

/* X(bit, name): what changed, as commands print it. */
#define SB_CHANGE_WHATS(X)                                                                         \
    X(1, TYPE, "type")                                                                             \
    X(2, MODE, "mode")                                                                             \
    X(4, OWNER, "owner")                                                                           \
    X(8, SIZE, "size")                                                                             \
    X(16, CONTENT, "content")                                                                      \
    X(32, LINK, "link") /* of a symlink */                                                         \
    X(64, DEVICE, "device")                                                                        \
    X(128, XATTRS, "xattrs")

enum sb_change_what {
#define X(bit, id, name) SB_CHANGE_##id = bit,
    SB_CHANGE_WHATS(X)
#undef X
};

struct sb_change {
    enum sb_change_kind kind;
    unsigned what; /* of SB_CHANGE_CHANGED: bits of enum sb_change_what, never 0 */
    const char *path;
    struct sb_entry before, after; /* the one that there is; hard links as what they lead to */
};

typedef int sb_change_visit(void *self, const struct sb_change *change, struct sb_error *err);

/* Calls visit for each file that differs, in byte order of paths; everything in a directory that
 * was added or removed is told too. Return -1 (with err) to stop. */
int sb_image_diff(struct sb_store *store, const struct sb_image *before,
                  const struct sb_image *after, sb_change_visit *visit, void *self,
                  struct sb_error *err);

#endif
