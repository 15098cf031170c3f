#include "builder/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static struct sb_pair *find(const struct sb_pairs *pairs, const char *name) {
    for (size_t i = 0; i < pairs->n; i++)
        if (!strcmp(pairs->v[i].name, name))
            return &pairs->v[i];
    return NULL;
}

const char *sb_pairs_get(const struct sb_pairs *pairs, const char *name) {
    const struct sb_pair *pair = find(pairs, name);
    return pair ? pair->value : NULL;
}

void sb_pairs_set(struct sb_pairs *pairs, const char *name, const char *value) {
    struct sb_pair *pair = find(pairs, name);
    if (pair) {
        char *copy = sb_strdup(value);
        free(pair->value);
        pair->value = copy;
        return;
    }
    SB_GROW(pairs->v, pairs->n, pairs->cap);
    pairs->v[pairs->n++] = (struct sb_pair){sb_strdup(name), sb_strdup(value)};
}

void sb_pairs_free(struct sb_pairs *pairs) {
    for (size_t i = 0; i < pairs->n; i++) {
        free(pairs->v[i].name);
        free(pairs->v[i].value);
    }
    free(pairs->v);
    *pairs = (struct sb_pairs){0};
}
