/*
 * context/copy_list: what sb_copy_place does with the entries that it found. Private to it.
 */
#ifndef SB_CONTEXT_COPY_LIST_H
#define SB_CONTEXT_COPY_LIST_H

#include "context/copy.h"

/* What the ground's stack has at a path, of which cursor is one. */
bool sb_copy_ground_find(const struct sb_copy_ground *ground, struct sb_stack_cursor *cursor,
                         const char *path, struct sb_entry *out);

/* Sorts, and leaves one entry a path. */
int sb_copy_settle(struct sb_copy_list *list, struct sb_error *err);

/* Every machine makes the layer as the base's config has it; one that knows better says so: an
 * error when something lands elsewhere in real. Both are of the same sources. */
int sb_copy_compare(const struct sb_copy_list *list, const struct sb_copy_list *real,
                    struct sb_error *err);

#endif
