/*
 * layers/trees: unpacked layers, and packing what a step left behind.
 *
 * A tree is one layer unpacked in overlayfs form (Linux Documentation/filesystems/overlayfs.rst): a
 * whiteout is a character device 0/0, an opaque directory has the xattr trusted.overlay.opaque
 * (root) or user.overlay.opaque (in a user namespace). So a tree serves as a lower directory as it
 * is, and the upper directory a step wrote becomes a tree by rename. Trees are made from blobs when
 * needed and may be removed at any time that no one uses them.
 *
 * Everything that reads or writes trees needs to be root, or root of a user namespace with
 * subordinate ids (sandbox/userns.h).
 */
#ifndef SB_LAYERS_TREES_H
#define SB_LAYERS_TREES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "layers/pack.h"
#include "layers/reuse.h"
#include "layers/store.h"

/* Makes sure that the layer is unpacked; several processes and threads may ask at once, one
 * unpacks. The blob's digest and size, and the diff ID, are verified. The result is the absolute
 * path of the tree, the caller's to free. */
int sb_tree_get(struct sb_store *store, const struct sb_layer *layer, char **out_path,
                struct sb_error *err);

/* The same; where older trees of the store have files of the same path, bytes and attributes, the
 * new one shares them (layers/reuse.h). Older trees that are not there are passed over, and kept
 * from the collector while they are looked at. */
struct sb_tree_older {
    struct sb_digest v[SB_REUSE_TREES]; /* diff IDs, the most alike first */
    size_t n;
    struct sb_reused reused; /* out: what was shared; nothing when the tree was there already */
};
int sb_tree_get_like(struct sb_store *store, const struct sb_layer *layer,
                     struct sb_tree_older *older, char **out_path, struct sb_error *err);

/* The same as sb_tree_get while this process fetches the layer: follows its bytes instead of
 * waiting for the last. A failure means little: once the layer is there, sb_tree_get says what is
 * wrong, or nothing. */
int sb_tree_follow(struct sb_store *store, const struct sb_layer *layer, char **out_path,
                   struct sb_error *err);

/* True when the layer is unpacked already. */
bool sb_tree_has(struct sb_store *store, const struct sb_digest *diff_id);

/* Moves a directory (on the store's file system) into place as the tree of diff_id. When there is
 * one already, the directory is removed instead. */
int sb_tree_adopt(struct sb_store *store, const struct sb_digest *diff_id, const char *path,
                  struct sb_error *err);

/* Makes trees that were unpacked by this boot good for later ones, before somebody relies on them
 * for longer: one flush of the store's file system, when any of them needs it. */
int sb_trees_settle(struct sb_store *store, const struct sb_digest *diff_ids, size_t count,
                    struct sb_error *err);
/* "sbuild/trees/HEX": relative to STORE, the caller's to free. */
char *sb_tree_path(const struct sb_digest *diff_id);

/* ---- family.c ---- */

/* Bytes that these trees take on the disk together, as du counts them: what they share counts once.
 * Measured once, and remembered. A tree that is not there takes none. */
uint64_t sb_trees_size(struct sb_store *store, const struct sb_digest *diff_ids, size_t count);
/* Notes in the directory of a tree that is being made whose files it shares. */
int sb_tree_note_family(struct sb_store *store, int dirfd, const struct sb_digest *shared,
                        size_t count, struct sb_error *err);

struct sb_tree_pack_options {
    bool overlay;  /* overlayfs' whiteouts and opaque marks are those of the layer; its own xattrs
                      (trusted.overlay.*, user.overlay.*) are left out */
    int64_t epoch; /* later mtimes become this one, in the layer and in the tree itself, so that
                      tree and layer stay the same; INT64_MAX: none do */
    bool (*skip)(const char *path,
                 void *data); /* entries (with all below) to leave out; may be NULL */
    void *data;
};
/* Feeds a whole directory tree to a packer: every directory in byte order of names, hard links as
 * such, sparse files without reading their holes, sockets left out (tar can't hold them). The root
 * directory itself gets no entry. */
int sb_tree_pack(struct sb_packer *packer, const char *path,
                 const struct sb_tree_pack_options *options, struct sb_error *err);

#endif
