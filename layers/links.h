/*
 * layers/links: short names of unpacked layers.
 *
 *     STORE/sbuild/l/ID       a symlink to ../trees/HEX/fs
 *
 * All options of a mount must fit in one page, and an overlay names each of its layers: 127 of them
 * only under short names. ID is made of the first bits of the diff ID, four characters, or more
 * where other trees have the shorter ones. A tree has one name for all services and generations; it
 * stays while the tree does, and goes with it (layers/collect.h).
 */
#ifndef SB_LAYERS_LINKS_H
#define SB_LAYERS_LINKS_H

#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include "layers/store.h"

/* The name that the tree has, or would get now: "STORE/sbuild/l/ID", the caller's to free. */
char *sb_link_path(struct sb_store *store, const struct sb_digest *diff_id);

/* Gives names to trees that have none, on the disk when it returns, and appends all paths in the
 * order of diff_ids. */
int sb_links_make(struct sb_store *store, const struct sb_digest *diff_ids, size_t count,
                  struct sb_strings *out, struct sb_error *err);

/* Removes names whose tree is gone. For the collector, which holds the store alone. */
void sb_links_sweep(struct sb_store *store);

#endif
