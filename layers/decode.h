/*
 * layers/decode: compressed bytes of a file in, pieces of tar out, in order. The inside of
 * sb_layer_reader, which gives it threads and digests.
 *
 * A zstd blob made of frames that say how much they hold, none more than SB_FRAME_SIZE (as
 * layers/pack writes them), comes as pieces that are still coded: each can be decoded on its own,
 * by any thread. Everything else (gzip, foreign zstd, plain tar) comes as decoded pieces.
 *
 * Memory: the input of one frame, one window of at most 128 MiB for foreign zstd (what the zstd
 * tool allows as well), and the pieces.
 */
#ifndef SB_LAYERS_DECODE_H
#define SB_LAYERS_DECODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zstd.h>

#include "base/digest.h"
#include "base/error.h"
#include "layers/block.h"

/* Start from {0}; sb_piece_free at the end. Buffers are kept from use to use. */
struct sb_piece {
    struct sb_block *block;
    unsigned char *out; /* the block's: SB_FRAME_SIZE bytes of room */
    size_t out_len;
    bool coded; /* sb_piece_decode makes out from in */
    unsigned char *in;
    size_t in_start, in_len, in_cap;
};

int sb_piece_decode(struct sb_piece *piece, ZSTD_DCtx *context, struct sb_error *err);
void sb_piece_free(struct sb_piece *piece);

struct sb_decoder;

/* Takes fd over. Reads at most limit bytes of it; more there is SB_E_INTEGRITY. hash: take the
 * digest of what is read. Waiting for a pipe ends when *stop becomes true, or on interruption. */
struct sb_decoder *sb_decoder_new(int fd, uint64_t limit, bool hash, atomic_bool *stop);

/* Before the first piece: the file is still being written, and bytes are waited for. Nothing may be
 * believed until the end was reached. */
struct sb_arriving;
void sb_decoder_follow(struct sb_decoder *decoder, struct sb_arriving *arriving);
/* Before the first piece: past the page cache, for a file that went to the disk past it. */
void sb_decoder_read_direct(struct sb_decoder *decoder);

/* Fills piece with what comes next; *out_end: nothing is left, and piece is empty. */
int sb_decoder_next(struct sb_decoder *decoder, struct sb_piece *piece, bool *out_end,
                    struct sb_error *err);

/* After the first piece: whether pieces come coded. */
bool sb_decoder_in_frames(const struct sb_decoder *decoder);
/* Whether the file is the tar itself; then no digest was taken, for that of the tar is the same. */
bool sb_decoder_plain(const struct sb_decoder *decoder);
/* Bytes read so far, and their digest. */
uint64_t sb_decoder_size(const struct sb_decoder *decoder);
struct sb_digest sb_decoder_digest(const struct sb_decoder *decoder);

void sb_decoder_free(struct sb_decoder *decoder);

#endif
