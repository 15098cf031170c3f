/*
 * layers/walk: the entries of a layer or an archive, one after the other, cleaned and bounded.
 */
#ifndef SB_LAYERS_WALK_H
#define SB_LAYERS_WALK_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "layers/block.h"
#include "layers/entry.h"
#include "layers/layer.h"
#include "layers/reader.h"
#include "layers/store.h"

/* More than this in one layer is SB_E_INTEGRITY: bytes of files, holes included; bytes of names, as
 * layers/entry.h counts them; bytes of what the tar says of one entry, before its content. */
#define SB_CONTENT_LIMIT (1ull << 40)
#define SB_HEADER_LIMIT  (16ull << 20)

/* Called for each entry in the order of the tar; paths are cleaned ("./a//b/" and "/a/b" become
 * "a/b"), the root itself is passed over, and ".." in a name or in the target of a hard link is
 * SB_E_INTEGRITY; extended attributes of overlayfs and of security modules (but file capabilities)
 * are left out. The entry and its strings live until the call returns. A regular file's
 * content is read by calling data (repeatedly; *len 0 at its end; *offset tells of holes in sparse
 * entries) any time before returning. Return -1 (with err) to stop. */
struct sb_entry_data;
int sb_entry_data_next(struct sb_entry_data *data, const void **out, size_t *out_len,
                       uint64_t *out_offset, struct sb_error *err);
/* sb_layer_reader_hold for bytes of an entry. */
struct sb_block *sb_entry_data_hold(struct sb_entry_data *entry, const void *data, size_t len);
typedef int sb_entry_visit(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                           struct sb_error *err);
/* Verifies like sb_layer_reader_finish, and the diff ID too; and reading stops as soon as there is
 * more than the layer's size, if that is not 0. */
int sb_layer_walk(struct sb_store *store, const struct sb_layer *layer, sb_entry_visit *visit,
                  void *self, struct sb_error *err);
/* The entries of what an open reader gives, from its beginning. The reader stays the caller's, to
 * be finished or aborted. */
int sb_layer_reader_walk(struct sb_layer_reader *reader, sb_entry_visit *visit, void *self,
                         struct sb_error *err);

/* The entries of a zip archive, a regular file, with permissions as unzip would give; its offset
 * moves. What it unpacks to is limited as a tar is, and memory too. */
int sb_zip_walk(int fd, sb_entry_visit *visit, void *self, struct sb_error *err);

#endif
