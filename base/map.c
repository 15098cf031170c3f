#include "base/map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"
#include "base/memory.h"

#define BLOCK_SIZE (64u << 10)

struct sb_map_slot {
    const char *key; /* NULL: free */
    uint64_t hash, value;
};

struct sb_map_block {
    struct sb_map_block *next;
    size_t used, size;
    char bytes[];
};

static uint64_t fold(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_of(uint64_t seed, const char *key, size_t len) {
    uint64_t h = seed ^ len;
    while (len > 0) {
        uint64_t word = 0;
        size_t n = len < 8 ? len : 8;
        memcpy(&word, key, n);
        h = fold(h ^ word, 0x9e3779b97f4a7c15u ^ seed);
        key += n;
        len -= n;
    }
    return fold(h ^ 0xd1b54a32d192ed03u, 0xa0761d6478bd642fu);
}

/* The slot of the key, or the free one where it belongs. */
static struct sb_map_slot *locate(const struct sb_map *map, uint64_t hash, const char *key,
                                  size_t len) {
    size_t i = hash & (map->cap - 1);
    while (map->slots[i].key &&
           (map->slots[i].hash != hash || strncmp(map->slots[i].key, key, len) != 0 ||
            map->slots[i].key[len] != '\0'))
        i = (i + 1) & (map->cap - 1);
    return &map->slots[i];
}

static uint64_t new_seed(const void *somewhere) {
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) < 0)
        seed = (uint64_t)clock() ^ (uintptr_t)somewhere; /* early in boot: better than nothing */
    return seed;
}

static void grow(struct sb_map *map) {
    if (map->cap == 0)
        map->seed = new_seed(map);
    struct sb_map bigger = *map;
    bigger.cap = map->cap ? map->cap * 2 : 64;
    bigger.slots = sb_realloc(NULL, bigger.cap, sizeof *bigger.slots);
    memset(bigger.slots, 0, bigger.cap * sizeof *bigger.slots);
    for (size_t i = 0; i < map->cap; i++) {
        if (!map->slots[i].key)
            continue;
        size_t at = map->slots[i].hash & (bigger.cap - 1);
        while (bigger.slots[at].key)
            at = (at + 1) & (bigger.cap - 1);
        bigger.slots[at] = map->slots[i];
    }
    free(map->slots);
    *map = bigger;
}

static const char *keep(struct sb_map *map, const char *key, size_t len) {
    struct sb_map_block *block = map->blocks;
    if (!block || block->size - block->used < len + 1) {
        size_t size = len + 1 > BLOCK_SIZE ? len + 1 : BLOCK_SIZE;
        block = sb_realloc(NULL, sizeof *block + size, 1);
        *block = (struct sb_map_block){.next = map->blocks, .size = size};
        map->blocks = block;
    }
    char *copy = block->bytes + block->used;
    memcpy(copy, key, len);
    copy[len] = '\0';
    block->used += len + 1;
    return copy;
}

uint64_t *sb_map_find_n(const struct sb_map *map, const char *key, size_t len) {
    if (map->n == 0)
        return NULL;
    struct sb_map_slot *slot = locate(map, hash_of(map->seed, key, len), key, len);
    return slot->key ? &slot->value : NULL;
}

uint64_t *sb_map_find(const struct sb_map *map, const char *key) {
    return sb_map_find_n(map, key, strlen(key));
}

uint64_t *sb_map_put_n(struct sb_map *map, const char *key, size_t len) {
    if (map->n >= map->cap / 2)
        grow(map);
    uint64_t hash = hash_of(map->seed, key, len);
    struct sb_map_slot *slot = locate(map, hash, key, len);
    if (!slot->key) {
        *slot = (struct sb_map_slot){.key = keep(map, key, len), .hash = hash};
        map->n++;
        sb_assert(map->n < map->cap); /* or no search would end */
    }
    return &slot->value;
}

uint64_t *sb_map_put(struct sb_map *map, const char *key) {
    return sb_map_put_n(map, key, strlen(key));
}

void sb_map_free(struct sb_map *map) {
    for (struct sb_map_block *block = map->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(map->slots);
    *map = (struct sb_map){0};
}

/* ---- keys seen ---- */

static bool enter(uint64_t *v, size_t cap, uint64_t hash) {
    size_t i = hash & (cap - 1);
    while (v[i] && v[i] != hash)
        i = (i + 1) & (cap - 1);
    bool is_new = !v[i];
    v[i] = hash;
    return is_new;
}

bool sb_seen_add_n(struct sb_seen *seen, const char *key, size_t len) {
    if (seen->n >= seen->cap / 2) {
        size_t cap = seen->cap ? seen->cap * 2 : 64;
        uint64_t *v = sb_alloc(cap * sizeof *v);
        if (!seen->cap)
            seen->seed = new_seed(seen);
        for (size_t i = 0; i < seen->cap; i++)
            if (seen->v[i])
                enter(v, cap, seen->v[i]);
        free(seen->v);
        seen->v = v;
        seen->cap = cap;
    }
    uint64_t hash = hash_of(seen->seed, key, len);
    bool is_new = enter(seen->v, seen->cap, hash ? hash : 1);
    seen->n += is_new;
    return is_new;
}

void sb_seen_free(struct sb_seen *seen) {
    free(seen->v);
    *seen = (struct sb_seen){0};
}
