/*
 * layers/compressor: one frame of a layer in, a zstd frame or gzip member out.
 *
 * The bytes are decided by the input, method and level alone: never by what the compressor did
 * before. One compressor serves one thread at a time.
 */
#ifndef SB_LAYERS_COMPRESSOR_H
#define SB_LAYERS_COMPRESSOR_H

#include <stddef.h>

#include "base/error.h"
#include "layers/layer.h"

struct sb_compressor;

/* The method's default for 0; a level that the method does not have is an error. */
int sb_compressor_level(enum sb_compression method, int level, int *out, struct sb_error *err);

/* Takes its working memory with the first frame. */
struct sb_compressor *sb_compressor_new(enum sb_compression method, int level);
void sb_compressor_free(struct sb_compressor *compressor); /* NULL is allowed */

/* The most bytes that len bytes may become. */
size_t sb_compressor_bound(enum sb_compression method, size_t len);
int sb_compressor_frame(struct sb_compressor *compressor, const void *data, size_t len, void *out,
                        size_t out_cap, size_t *out_len, struct sb_error *err);

#endif
