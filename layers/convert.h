/*
 * layers/convert: the same layer, compressed otherwise: for registries and hosts that do not know
 * zstd, or to make old images smaller.
 *
 * The tar, and with it the diff ID, stays as it is. What was converted once is remembered like a
 * built layer, by a cache record (docs/formats.md), and collected like one.
 */
#ifndef SB_LAYERS_CONVERT_H
#define SB_LAYERS_CONVERT_H

#include <stdbool.h>

#include "base/error.h"
#include "layers/pack.h"
#include "layers/store.h"

/* How a layer of that media type is compressed, OCI's or Docker's. */
enum sb_compression sb_layer_compression(const char *media_type);

/* Finds what was converted before; marks it used. */
bool sb_layer_find_converted(struct sb_store *store, const struct sb_layer *layer,
                             enum sb_compression compression, struct sb_layer *out);
/* Finds or makes it. The layer's blob is verified, and so is its diff ID. */
int sb_layer_convert(struct sb_store *store, const struct sb_layer *layer,
                     enum sb_compression compression, struct sb_layer *out, struct sb_error *err);

#endif
