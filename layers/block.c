#include "layers/block.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/memory.h"

#define SPARE_MAX  4
#define LARGE_PAGE (2u << 20)
#define SMALL_PAGE 4096u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sb_block *spare;
static unsigned spare_count, keepers;

static void block_free(struct sb_block *block) {
    free(block->data);
    free(block);
}

static struct sb_block *block_new(bool large) {
    struct sb_block *block = sb_alloc(sizeof *block);
    block->data = sb_alloc_aligned(large ? LARGE_PAGE : SMALL_PAGE, SB_BLOCK_SIZE);
    if (large)
        madvise(block->data, SB_BLOCK_SIZE, MADV_HUGEPAGE);
    return block;
}

struct sb_block *sb_block_new(void) {
    pthread_mutex_lock(&lock);
    struct sb_block *block = spare;
    bool large = keepers > 0;
    if (block) {
        spare = block->next;
        spare_count--;
    }
    pthread_mutex_unlock(&lock);
    if (!block)
        block = block_new(large);
    atomic_init(&block->users, 1);
    return block;
}

void sb_block_release(struct sb_block *block) {
    sb_assert(!block || atomic_load(&block->users) > 0);
    if (!block || atomic_fetch_sub(&block->users, 1) > 1)
        return;
    pthread_mutex_lock(&lock);
    bool kept = keepers > 0 && spare_count < SPARE_MAX;
    if (kept) {
        block->next = spare;
        spare = block;
        spare_count++;
    }
    pthread_mutex_unlock(&lock);
    if (!kept)
        block_free(block);
}

void sb_blocks_keep(void) {
    pthread_mutex_lock(&lock);
    keepers++;
    pthread_mutex_unlock(&lock);
}

void sb_blocks_keep_no_more(void) {
    struct sb_block *rest = NULL;
    pthread_mutex_lock(&lock);
    sb_assert(keepers > 0);
    if (--keepers == 0) {
        rest = sb_steal(spare);
        spare_count = 0;
    }
    pthread_mutex_unlock(&lock);
    while (rest) {
        struct sb_block *block = rest;
        rest = block->next;
        block_free(block);
    }
}
