/*
 * base/arena: many small allocations with one lifetime, freed together.
 */
#ifndef SB_BASE_ARENA_H
#define SB_BASE_ARENA_H

#include <stddef.h>

struct sb_arena {
    struct sb_arena_chunk *last;
};

/* Aligned for any type, not zeroed. */
void *sb_arena_alloc(struct sb_arena *arena, size_t size);
char *sb_arena_strndup(struct sb_arena *arena, const char *text, size_t len);
char *sb_arena_strdup(struct sb_arena *arena, const char *text);
/* "dir/name", or name alone when dir is "". */
char *sb_arena_join(struct sb_arena *arena, const char *dir, const char *name);
/* Moves everything that from holds into arena; from is empty afterwards. */
void sb_arena_take(struct sb_arena *arena, struct sb_arena *from);
void sb_arena_free(struct sb_arena *arena);

#endif
