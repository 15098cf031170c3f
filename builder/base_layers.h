/*
 * builder/base_layers: what a step needs of the layers below it: their trees, or what is in them.
 * Layers that lie in a registry are fetched, several at once.
 */
#ifndef SB_BUILDER_BASE_LAYERS_H
#define SB_BUILDER_BASE_LAYERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/contents.h"
#include "layers/image.h"

/* What will have to be fetched for the trees of an image. */
struct sb_base_layers_missing {
    size_t count;
    uint64_t bytes;
};
struct sb_base_layers_missing sb_base_layers_missing(struct sb_store *store,
                                                     const struct sb_image *image);

/* The trees of all layers, lowest first. An error names the layer; of the first base_count also
 * base, the image that they belong to (NULL: none). *out_failed is then the layer's index, or, when
 * it isn't one layer's fault, their count. */
int sb_base_layers_trees(struct sb_store *store, const struct sb_image *image, const char *base,
                         size_t base_count, struct sb_strings *out, size_t *out_failed,
                         struct sb_error *err);

/* Adds to these trees what they can't say by themselves (layers/mend.h), if anything. */
int sb_base_layers_mend(struct sb_store *store, const struct sb_image *image,
                        struct sb_strings *trees, struct sb_error *err);

/* Brings all blobs of the image here, for whoever reads them whole; with only_unlisted, those whose
 * table of contents isn't here either. */
int sb_base_layers_fetch(struct sb_store *store, const struct sb_image *image, bool only_unlisted,
                         struct sb_error *err);
/* What that would fetch. */
struct sb_base_layers_missing
sb_base_layers_absent(struct sb_store *store, const struct sb_image *image, bool only_unlisted);

/* The tables of contents of the layers from first up to count, into out, which has room for all up
 * to there. Opens none on failure. */
int sb_base_layers_contents(struct sb_store *store, const struct sb_image *image, const char *base,
                            size_t first, size_t count, struct sb_contents **out,
                            struct sb_error *err);
/* Whether one of those from first on came from a shared cache, and nobody looked at the layer. */
bool sb_base_layers_told(struct sb_store *store, const struct sb_image *image, size_t first);
/* The same, as far as they are known already: false when one is not. */
bool sb_base_layers_known_contents(struct sb_store *store, const struct sb_image *image,
                                   size_t count, struct sb_contents **out);

#endif
