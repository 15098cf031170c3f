#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

struct sb_arena_chunk {
    struct sb_arena_chunk *previous;
    size_t used, size;
    alignas(max_align_t) char data[];
};

enum { CHUNK = 64 * 1024 };

void *sb_arena_alloc(struct sb_arena *arena, size_t size) {
    size_t align = alignof(max_align_t);
    struct sb_arena_chunk *chunk = arena->last;
    size_t start = chunk ? (chunk->used + align - 1) / align * align : 0;
    if (!chunk || start > chunk->size || chunk->size - start < size) {
        size_t room = size > CHUNK / 4 ? size : CHUNK;
        chunk = sb_realloc(NULL, 1, sizeof *chunk + room);
        *chunk = (struct sb_arena_chunk){.previous = arena->last, .size = room};
        arena->last = chunk;
        start = 0;
    }
    sb_assert(start + size <= chunk->size);
    chunk->used = start + size;
    return chunk->data + start;
}

char *sb_arena_strndup(struct sb_arena *arena, const char *text, size_t len) {
    char *copy = sb_arena_alloc(arena, len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *sb_arena_strdup(struct sb_arena *arena, const char *text) {
    return sb_arena_strndup(arena, text, strlen(text));
}

char *sb_arena_join(struct sb_arena *arena, const char *dir, const char *name) {
    if (!*dir)
        return sb_arena_strdup(arena, name);
    size_t n = strlen(dir), m = strlen(name);
    char *path = sb_arena_alloc(arena, n + m + 2);
    memcpy(path, dir, n);
    path[n] = '/';
    memcpy(path + n + 1, name, m + 1);
    return path;
}

void sb_arena_take(struct sb_arena *arena, struct sb_arena *from) {
    if (!from->last)
        return;
    struct sb_arena_chunk *first = from->last;
    while (first->previous)
        first = first->previous;
    first->previous = arena->last;
    arena->last = from->last;
    from->last = NULL;
}

void sb_arena_free(struct sb_arena *arena) {
    while (arena->last) {
        struct sb_arena_chunk *previous = arena->last->previous;
        free(arena->last);
        arena->last = previous;
    }
}
