/*
 * layers/pack: entries in, a finished layer blob out, in one pass.
 *
 *     entries → tar (pax) → diff ID
 *                         ↘ frames, compressed by several threads → digest → blob store
 *
 * The tar stream is cut every SB_FRAME_SIZE bytes, wherever that falls, and each cut becomes a zstd
 * frame or gzip member of its own: so the bytes do not depend on the number of threads, and readers
 * can use every core too. Memory is bounded by a fixed number of frames, whatever the layer's size.
 *
 * tar: POSIX.1-2001 pax, with ustar headers wherever they hold the value. Written here rather than
 * by libarchive because the diff ID is sbuild's promise: it must not change with a library's
 * version or with the locale.
 *
 * A packer also writes the layer's table of contents (layers/contents.h).
 */
#ifndef SB_LAYERS_PACK_H
#define SB_LAYERS_PACK_H

#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"
#include "layers/entry.h"
#include "layers/layer.h"
#include "layers/store.h"

struct sb_packer;

int sb_packer_start(struct sb_store *store, const struct sb_pack_options *options,
                    struct sb_packer **out, struct sb_error *err);

/* Starts the next entry, copying what it needs. Entries must come in an order in which a parent
 * directory comes before what is in it. A regular file with a size is followed by exactly that
 * many bytes through sb_packer_data or sb_packer_file. */
int sb_packer_entry(struct sb_packer *packer, const struct sb_entry *entry, struct sb_error *err);
int sb_packer_data(struct sb_packer *packer, const void *data, size_t len, struct sb_error *err);
/* Reads the current entry's size from fd, holes as zeros; a file that turns out shorter or longer
 * is an error that names what. digest_out, when given, gets the SHA-256 of the content. */
int sb_packer_file(struct sb_packer *packer, int fd, const char *what, struct sb_digest *digest_out,
                   struct sb_error *err);
/* Ends the layer, publishes blob and table of contents, and frees the packer in every case. A layer
 * without entries is valid. */
int sb_packer_finish(struct sb_packer *packer, struct sb_layer *out, struct sb_error *err);
void sb_packer_abort(struct sb_packer *packer); /* NULL is allowed */

#endif
