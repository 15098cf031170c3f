/*
 * layers/parts: what a recipe's layer is stored and sent as: its parts, each a layer of the image.
 *
 * A recipe's layer is the unit of caching, and has one record; its parts are what blobs, trees and
 * images know. There is one part of each layer for now.
 */
#ifndef SB_LAYERS_PARTS_H
#define SB_LAYERS_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "layers/image.h"
#include "layers/layer.h"

#define SB_PARTS_LIMIT 64 /* parts of a layer */

struct sb_parts {
    struct sb_layer *v; /* lowest first */
    size_t n, cap;
};

/* The same tar in the same blob. */
bool sb_layer_equal(const struct sb_layer *a, const struct sb_layer *b);

void sb_parts_add(struct sb_parts *parts, const struct sb_layer *part);
void sb_parts_copy(struct sb_parts *to, const struct sb_parts *from); /* to has none yet */
/* to becomes what from was; from has none then. */
void sb_parts_move(struct sb_parts *to, struct sb_parts *from);
void sb_parts_free(struct sb_parts *parts);
bool sb_parts_equal(const struct sb_parts *a, const struct sb_parts *b); /* in every blob */
uint64_t sb_parts_size(const struct sb_parts *parts);                    /* of all blobs */
bool sb_parts_have(const struct sb_parts *parts, const struct sb_digest *diff_id);

/* Puts them on an image; each gets name and created_by, which are copied. */
void sb_image_add_parts(struct sb_image *image, const struct sb_parts *parts, const char *name,
                        const char *created_by);

#endif
