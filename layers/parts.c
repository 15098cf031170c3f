#include "layers/parts.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

bool sb_layer_equal(const struct sb_layer *a, const struct sb_layer *b) {
    return sb_digest_equal(&a->diff_id, &b->diff_id) && a->descriptor.size == b->descriptor.size &&
           sb_digest_equal(&a->descriptor.digest, &b->descriptor.digest);
}

void sb_parts_add(struct sb_parts *parts, const struct sb_layer *part) {
    sb_assert(parts->n < SB_PARTS_LIMIT);
    SB_GROW(parts->v, parts->n, parts->cap);
    parts->v[parts->n++] = *part;
}

void sb_parts_copy(struct sb_parts *to, const struct sb_parts *from) {
    sb_assert(to->n == 0);
    for (size_t i = 0; i < from->n; i++)
        sb_parts_add(to, &from->v[i]);
}

void sb_parts_move(struct sb_parts *to, struct sb_parts *from) {
    sb_parts_free(to);
    *to = *from;
    *from = (struct sb_parts){0};
}

void sb_parts_free(struct sb_parts *parts) {
    free(parts->v);
    *parts = (struct sb_parts){0};
}

bool sb_parts_equal(const struct sb_parts *a, const struct sb_parts *b) {
    bool equal = a->n == b->n;
    for (size_t i = 0; equal && i < a->n; i++)
        equal = sb_layer_equal(&a->v[i], &b->v[i]) && a->v[i].tar_size == b->v[i].tar_size;
    return equal;
}

uint64_t sb_parts_size(const struct sb_parts *parts) {
    uint64_t size = 0;
    for (size_t i = 0; i < parts->n; i++)
        size += parts->v[i].descriptor.size;
    return size;
}

bool sb_parts_have(const struct sb_parts *parts, const struct sb_digest *diff_id) {
    for (size_t i = 0; i < parts->n; i++)
        if (sb_digest_equal(&parts->v[i].diff_id, diff_id))
            return true;
    return false;
}

void sb_image_add_parts(struct sb_image *image, const struct sb_parts *parts, const char *name,
                        const char *created_by) {
    for (size_t i = 0; i < parts->n; i++)
        sb_image_add_layer(image, &parts->v[i], name, created_by);
}
