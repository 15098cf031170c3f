/*
 * layers/block: decoded bytes that outlive the call which they came with, so that another thread
 * can write them: between layers/reader and layers/content.
 */
#ifndef SB_LAYERS_BLOCK_H
#define SB_LAYERS_BLOCK_H

#include <stdatomic.h>

#include "layers/layer.h"

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

#endif
