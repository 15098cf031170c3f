/*
 * layers/block: decoded bytes that outlive the call which they came with, so that another thread
 * can write them. The inside of layers/unpack.
 */
#ifndef SB_LAYERS_BLOCK_H
#define SB_LAYERS_BLOCK_H

#include <stdatomic.h>

#include "layers/unpack.h"

/* Freed when its last user lets go of it. Only one who knows to be its only user may write to it.
 */
struct sb_block {
    atomic_uint users;
    unsigned char data[];
};

struct sb_block *sb_block_new(size_t size);    /* with one user */
void sb_block_release(struct sb_block *block); /* NULL is allowed */

/* Makes the caller a user of the block that these bytes, just got from the reader, lie in. NULL
 * when they don't lie in one: then they must be copied. */
struct sb_block *sb_layer_reader_hold(struct sb_layer_reader *reader, const void *data, size_t len);
/* The same for bytes of an entry. */
struct sb_block *sb_entry_data_hold(struct sb_entry_data *entry, const void *data, size_t len);

#endif
