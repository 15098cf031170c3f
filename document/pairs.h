/*
 * document/pairs: names with values, in the order of the file: environment, labels, arguments.
 */
#ifndef SB_DOCUMENT_PAIRS_H
#define SB_DOCUMENT_PAIRS_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/map.h"

struct sb_pair {
    char *name, *value;
    int line, column;          /* where a recipe says it; 0: nowhere */
    struct sb_strings made_of; /* names of the arguments in its value, where that was read from a
                                  recipe */
};
struct sb_pairs { /* in the order of the file */
    struct sb_pair *v;
    size_t n, cap;
    struct sb_map places; /* of names, + 1: an image may have any number */
};

/* NULL when there is no such name. */
const char *sb_pairs_get(const struct sb_pairs *pairs, const char *name);
/* Replaces the value, or adds the name at the end. */
void sb_pairs_set(struct sb_pairs *pairs, const char *name, const char *value);
/* Sets all that more has; NULL is none. */
void sb_pairs_add(struct sb_pairs *pairs, const struct sb_pairs *more);
/* Fills an empty list with all that the other has, places too. */
void sb_pairs_copy(struct sb_pairs *to, const struct sb_pairs *from);
/* By bytes of the names. */
void sb_pairs_sort(struct sb_pairs *pairs);
void sb_pairs_free(struct sb_pairs *pairs);

#endif
