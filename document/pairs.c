#include "document/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

enum { FEW = 16 }; /* are looked through: a table takes longer to make, and most have no more */

static struct sb_pair *find(const struct sb_pairs *pairs, const char *name) {
    if (pairs->n > FEW && pairs->places.n == pairs->n) {
        const uint64_t *place = sb_map_find(&pairs->places, name);
        return place ? &pairs->v[*place - 1] : NULL;
    }
    for (size_t i = 0; i < pairs->n; i++) /* a recipe's, which come otherwise, and are few */
        if (!strcmp(pairs->v[i].name, name))
            return &pairs->v[i];
    return NULL;
}

const char *sb_pairs_get(const struct sb_pairs *pairs, const char *name) {
    const struct sb_pair *pair = find(pairs, name);
    return pair ? pair->value : NULL;
}

static void note_places(struct sb_pairs *pairs) {
    for (size_t i = 0; i < pairs->n; i++)
        *sb_map_put(&pairs->places, pairs->v[i].name) = i + 1;
}

void sb_pairs_set(struct sb_pairs *pairs, const char *name, const char *value) {
    struct sb_pair *pair = find(pairs, name);
    if (pair) {
        char *copy = sb_strdup(value);
        free(pair->value);
        pair->value = copy;
        return;
    }
    if (pairs->n > FEW && pairs->places.n == pairs->n)
        *sb_map_put(&pairs->places, name) = pairs->n + 1;
    SB_GROW(pairs->v, pairs->n, pairs->cap);
    sb_assert(pairs->v && pairs->n < pairs->cap);
    pairs->v[pairs->n++] = (struct sb_pair){.name = sb_strdup(name), .value = sb_strdup(value)};
    if (pairs->n == FEW + 1)
        note_places(pairs);
}

static int compare(const void *a, const void *b) {
    return strcmp(((const struct sb_pair *)a)->name, ((const struct sb_pair *)b)->name);
}

void sb_pairs_add(struct sb_pairs *pairs, const struct sb_pairs *more) {
    for (size_t i = 0; more && i < more->n; i++)
        sb_pairs_set(pairs, more->v[i].name, more->v[i].value);
}

void sb_pairs_copy(struct sb_pairs *to, const struct sb_pairs *from) {
    for (size_t i = 0; i < from->n; i++) {
        sb_pairs_set(to, from->v[i].name, from->v[i].value);
        struct sb_pair *pair = &to->v[to->n - 1];
        pair->line = from->v[i].line;
        pair->column = from->v[i].column;
        sb_strings_copy(&pair->made_of, &from->v[i].made_of);
    }
}

void sb_pairs_sort(struct sb_pairs *pairs) {
    if (pairs->n > 1)
        qsort(pairs->v, pairs->n, sizeof *pairs->v, compare);
    if (pairs->n > FEW)
        note_places(pairs);
}

void sb_pairs_free(struct sb_pairs *pairs) {
    for (size_t i = 0; i < pairs->n; i++) {
        free(pairs->v[i].name);
        free(pairs->v[i].value);
        sb_strings_free(&pairs->v[i].made_of);
    }
    free(pairs->v);
    sb_map_free(&pairs->places);
    *pairs = (struct sb_pairs){0};
}
