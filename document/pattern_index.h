/*
 * document/pattern_index: which of many patterns may match a path, without asking each.
 *
 * Nearly every pattern begins or ends in literal bytes. The longer of the two is looked up among
 * the beginnings and the ends of the path, so that a list of tens of thousands costs a path little
 * more than one of ten. Private to document/ignore.
 */
#ifndef SB_DOCUMENT_PATTERN_INDEX_H
#define SB_DOCUMENT_PATTERN_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "document/pattern.h"

struct sb_pattern_index;

/* A list of patterns by number, growing as needed; start from {0}. */
struct sb_pattern_numbers {
    uint32_t *v;
    size_t n, cap;
};

/* get: the pattern of a number below count; patterns must live as long as the index. */
struct sb_pattern_index *
sb_pattern_index_new(size_t count, const struct sb_pattern *(*get)(const void *data, size_t number),
                     const void *data);
void sb_pattern_index_free(struct sb_pattern_index *index); /* NULL is allowed */

/* Replaces out by the numbers of all patterns that may match the path itself, in order. */
void sb_pattern_index_find(const struct sb_pattern_index *index, const char *path, size_t len,
                           struct sb_pattern_numbers *out);

#endif
