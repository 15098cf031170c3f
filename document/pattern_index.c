#include "document/pattern_index.h"

#include <stdlib.h>

#include "base/memory.h"

/* A pattern by the hash of its literal beginning, or end. */
struct place {
    uint64_t hash;
    uint32_t number;
};

/* Patterns that are known by one end. */
struct side {
    struct place *places; /* sorted */
    size_t n, cap;
    size_t *lengths; /* of the literals, sorted, each once */
    size_t length_n, length_cap;
};

struct sb_pattern_index {
    struct side heads, tails;
    struct sb_pattern_numbers others; /* without a literal end: asked always */
};

/* FNV-1a: equal hashes of different texts only cost a pattern being asked for nothing. */
#define HASH_START 0xCBF29CE484222325u

static uint64_t hash_byte(uint64_t hash, char c) {
    return (hash ^ (unsigned char)c) * 0x100000001B3u;
}

static uint64_t hash_forwards(const char *text, size_t len) {
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < len; i++)
        hash = hash_byte(hash, text[i]);
    return hash;
}

static uint64_t hash_backwards(const char *text, size_t len) {
    uint64_t hash = HASH_START;
    while (len > 0)
        hash = hash_byte(hash, text[--len]);
    return hash;
}

static void add_number(struct sb_pattern_numbers *numbers, uint32_t number) {
    SB_GROW(numbers->v, numbers->n, numbers->cap);
    numbers->v[numbers->n++] = number;
}

static void add(struct side *side, uint64_t hash, size_t length, uint32_t number) {
    SB_GROW(side->places, side->n, side->cap);
    side->places[side->n++] = (struct place){hash, number};
    SB_GROW(side->lengths, side->length_n, side->length_cap);
    side->lengths[side->length_n++] = length;
}

static int compare_places(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static int compare_lengths(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static int compare_numbers(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void sort(struct side *side) {
    if (side->n == 0)
        return;
    qsort(side->places, side->n, sizeof *side->places, compare_places);
    qsort(side->lengths, side->length_n, sizeof *side->lengths, compare_lengths);
    size_t n = 0;
    for (size_t i = 0; i < side->length_n; i++)
        if (i == 0 || side->lengths[i] != side->lengths[i - 1])
            side->lengths[n++] = side->lengths[i];
    side->length_n = n;
}

struct sb_pattern_index *
sb_pattern_index_new(size_t count, const struct sb_pattern *(*get)(const void *data, size_t number),
                     const void *data) {
    struct sb_pattern_index *index = sb_alloc(sizeof *index);
    for (size_t i = 0; i < count; i++) {
        size_t head_len, tail_len;
        const char *head = sb_pattern_head(get(data, i), &head_len);
        const char *tail = sb_pattern_tail(get(data, i), &tail_len);
        if (head_len > 0 && head_len >= tail_len)
            add(&index->heads, hash_forwards(head, head_len), head_len, (uint32_t)i);
        else if (tail_len > 0)
            add(&index->tails, hash_backwards(tail, tail_len), tail_len, (uint32_t)i);
        else
            add_number(&index->others, (uint32_t)i);
    }
    sort(&index->heads);
    sort(&index->tails);
    return index;
}

static void side_free(struct side *side) {
    free(side->places);
    free(side->lengths);
}

void sb_pattern_index_free(struct sb_pattern_index *index) {
    if (!index)
        return;
    side_free(&index->heads);
    side_free(&index->tails);
    free(index->others.v);
    free(index);
}

static void look_up(const struct side *side, uint64_t hash, struct sb_pattern_numbers *out) {
    size_t low = 0, high = side->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (side->places[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < side->n && side->places[low].hash == hash; low++)
        add_number(out, side->places[low].number);
}

static void find_heads(const struct side *side, const char *path, size_t len,
                       struct sb_pattern_numbers *out) {
    uint64_t hash = HASH_START;
    size_t at = 0;
    for (size_t i = 0; i < side->length_n && side->lengths[i] <= len; i++) {
        for (; at < side->lengths[i]; at++)
            hash = hash_byte(hash, path[at]);
        look_up(side, hash, out);
    }
}

static void find_tails(const struct side *side, const char *path, size_t len,
                       struct sb_pattern_numbers *out) {
    uint64_t hash = HASH_START;
    size_t at = 0;
    for (size_t i = 0; i < side->length_n && side->lengths[i] <= len; i++) {
        for (; at < side->lengths[i]; at++)
            hash = hash_byte(hash, path[len - 1 - at]);
        look_up(side, hash, out);
    }
}

/* Those that were found, sorted, and the others, which are: from the last to the first, in place.
 */
static void merge(struct sb_pattern_numbers *out, const struct sb_pattern_numbers *others) {
    size_t found = out->n, left = others->n;
    if (found > 1)
        qsort(out->v, found, sizeof *out->v, compare_numbers);
    for (size_t i = 0; i < left; i++)
        add_number(out, 0);
    while (left > 0) {
        size_t to = found + left - 1;
        if (found > 0 && out->v[found - 1] > others->v[left - 1])
            out->v[to] = out->v[--found];
        else
            out->v[to] = others->v[--left];
    }
}

void sb_pattern_index_find(const struct sb_pattern_index *index, const char *path, size_t len,
                           struct sb_pattern_numbers *out) {
    out->n = 0;
    find_heads(&index->heads, path, len, out);
    find_tails(&index->tails, path, len, out);
    merge(out, &index->others);
}
