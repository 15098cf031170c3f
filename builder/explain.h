/*
 * builder/explain: the difference between two cache keys, in words.
 */
#ifndef SB_BUILDER_EXPLAIN_H
#define SB_BUILDER_EXPLAIN_H

#include <jansson.h>
#include <stddef.h>

#include "context/copy.h"

/* When what differs first is what a copy step among others copies: that step in the old key, whose
 * listing is to be compared; *out_number counts the copy steps before it. Else NULL. */
const json_t *sb_explain_copy_step(const json_t *old_key, const json_t *new_key,
                                   size_t *out_number);

/* old_key and new_key: the JSON of two keys of one layer. old_listing (context/copy.h; may be
 * empty) and new_list (may be NULL) tell which files changed. "src/main.py changed and 2 more"; the
 * caller's to free. */
char *sb_explain_change(const json_t *old_key, const json_t *new_key, const char *old_listing,
                        size_t old_len, const struct sb_copy_list *new_list);

#endif
