/*
 * builder/shelf: what targets of a build share as long as they take turns: the directory that they
 * copy from, opened once, and layers that were found, as several platforms ask for the same, and
 * what records said the last time. Once they have threads, each works with what is its own.
 */
#ifndef SB_BUILDER_SHELF_H
#define SB_BUILDER_SHELF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/digest.h"
#include "builder/recall.h"
#include "context/context.h"
#include "layers/parts.h"

struct sb_shelf {
    bool closed; /* they have threads */
    struct sb_shelf_context {
        const char *directory; /* as recipes have it; theirs */
        struct sb_context *context;
    } * contexts;
    size_t context_count, context_cap;
    struct sb_shelf_layer {
        struct sb_digest key;
        struct sb_parts parts;
    } * layers;
    size_t layer_count, layer_cap;
    struct sb_recall *recall; /* of a large build; or NULL */
};

/* NULL: there is none. It stays the shelf's. */
struct sb_context *sb_shelf_context(const struct sb_shelf *shelf, const char *directory);
/* Takes it over; false, and nothing is done, when the shelf is closed. */
bool sb_shelf_put_context(struct sb_shelf *shelf, const char *directory,
                          struct sb_context *context);
/* NULL: that key wasn't found before. */
const struct sb_parts *sb_shelf_layer(const struct sb_shelf *shelf, const struct sb_digest *key);
void sb_shelf_put_layer(struct sb_shelf *shelf, const struct sb_digest *key,
                        const struct sb_parts *parts);
/* What was found may be so no more. */
void sb_shelf_forget_layers(struct sb_shelf *shelf);
void sb_shelf_free(struct sb_shelf *shelf);

#endif
