/*
 * layers/reader: the tar of a layer, read from its blob: verified and decompressed.
 */
#ifndef SB_LAYERS_READER_H
#define SB_LAYERS_READER_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"
#include "layers/block.h"
#include "layers/store.h"

/* How much tar a blob may unpack to: this, or SB_TAR_RATIO times its own size if that is more. A
 * layer of sparse files compresses by thousands, so the ratio alone would refuse honest layers. */
#define SB_TAR_LIMIT (64ull << 30)
#define SB_TAR_RATIO 64ull
/* How much so many bytes may unpack to. */
uint64_t sb_unpack_limit(uint64_t size);

struct sb_layer_reader;
/* Reads the descriptor's blob; tar, gzip (any number of members) and zstd (any frames, skippable
 * ones too) are told apart by their first bytes, not by the media type. */
int sb_layer_reader_open(struct sb_store *store, const struct sb_descriptor *descriptor,
                         struct sb_layer_reader **out, struct sb_error *err);
/* The same for a caller that compares the diff ID: of a blob that this process wrote into the store
 * itself, the digest is not taken a second time. */
int sb_layer_reader_open_known(struct sb_store *store, const struct sb_descriptor *descriptor,
                               struct sb_layer_reader **out, struct sb_error *err);
/* The same over any file, e.g. an archive given by the user, from its current offset; nothing is
 * verified. fd stays the caller's, but its offset moves. */
int sb_layer_reader_fd(int fd, struct sb_layer_reader **out, struct sb_error *err);
/* Before the first sb_layer_reader_next: more tar than this is SB_E_INTEGRITY, as soon as it shows.
 * For layers whose size is known. */
void sb_layer_reader_limit(struct sb_layer_reader *reader, uint64_t tar_size);
/* The next bytes of tar: *out_data is valid until the next call, *out_len is 0 at the end. */
int sb_layer_reader_next(struct sb_layer_reader *reader, const void **out_data, size_t *out_len,
                         struct sb_error *err);
/* Reads to the end of the blob and compares blob digest and size (SB_E_INTEGRITY). out_diff_id gets
 * the digest of the tar, padding after its end included. Frees the reader in every case. */
int sb_layer_reader_finish(struct sb_layer_reader *reader, struct sb_digest *out_diff_id,
                           uint64_t *out_tar_size, struct sb_error *err);
void sb_layer_reader_abort(struct sb_layer_reader *reader);

/* Makes the caller a user of the block that these bytes, just got from the reader, lie in. NULL
 * when they don't lie in one: then they must be copied. */
struct sb_block *sb_layer_reader_hold(struct sb_layer_reader *reader, const void *data, size_t len);

#endif
