/*
 * base/map: a hash table from strings to numbers.
 *
 * For paths by the hundred thousand: keys are copied into a few large blocks. The hash is keyed
 * with random bytes, so that nobody can craft keys that all collide; for the same reason there is
 * no way to list a map: its order would differ from run to run. Start from {0}.
 */
#ifndef SB_BASE_MAP_H
#define SB_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_map_slot;
struct sb_map_block;

struct sb_map {
    struct sb_map_slot *slots;
    struct sb_map_block *blocks;
    size_t n, cap;
    uint64_t seed;
};

/* The value of key, or NULL. Valid until the next sb_map_put. */
uint64_t *sb_map_find(const struct sb_map *map, const char *key);
/* The same for the first len bytes of key. */
uint64_t *sb_map_find_n(const struct sb_map *map, const char *key, size_t len);

/* The value of key, which is added with the value 0 when missing. Valid until the next put. */
uint64_t *sb_map_put(struct sb_map *map, const char *key);
uint64_t *sb_map_put_n(struct sb_map *map, const char *key, size_t len);

void sb_map_free(struct sb_map *map);

#define sb_automap __attribute__((cleanup(sb_map_free)))

/* A set of which nothing can be asked but whether a key is new: 8 to 32 bytes a key, however long.
 * That one is taken for another happens once in billions of billions. Start from {0}. */
struct sb_seen {
    uint64_t *v;
    size_t n, cap;
    uint64_t seed;
};
/* Adds it; false when it was there. */
bool sb_seen_add_n(struct sb_seen *seen, const char *key, size_t len);
void sb_seen_free(struct sb_seen *seen);

#endif
