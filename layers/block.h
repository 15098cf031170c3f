/*
 * layers/block: decoded bytes that outlive the call which they came with, so that another thread
 * can write them. The inside of layers/unpack.
 */
#ifndef SB_LAYERS_BLOCK_H
#define SB_LAYERS_BLOCK_H

#include <stdatomic.h>

#include "layers/unpack.h"

#define SB_BLOCK_SIZE SB_FRAME_SIZE

/* Gone when its last user lets go of it. Only one who knows to be its only user may write to it. */
struct sb_block {
    atomic_uint users;
    struct sb_block *next; /* while it is spare */
    unsigned char *data;   /* SB_BLOCK_SIZE bytes, aligned as direct access wants them */
};

struct sb_block *sb_block_new(void);           /* with one user */
void sb_block_release(struct sb_block *block); /* NULL is allowed */

/* From the first to the last such call some blocks that are let go of are kept, as memory that the
 * kernel has made once; and large pages are used. For whoever needs many. */
void sb_blocks_keep(void);
void sb_blocks_keep_no_more(void);

/* Makes the caller a user of the block that these bytes, just got from the reader, lie in. NULL
 * when they don't lie in one: then they must be copied. */
struct sb_block *sb_layer_reader_hold(struct sb_layer_reader *reader, const void *data, size_t len);
/* The same for bytes of an entry. */
struct sb_block *sb_entry_data_hold(struct sb_entry_data *entry, const void *data, size_t len);

#endif
