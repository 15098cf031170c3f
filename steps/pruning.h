/*
 * steps/pruning: what the categories of prune mean, and removing it from a root.
 */
#ifndef SB_STEPS_PRUNING_H
#define SB_STEPS_PRUNING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

/* Whether a category (of sb_prune_categories) takes a file or link; path is relative to the root.
 * Directories are never taken by themselves, see sb_prune_tree. */
bool sb_prune_takes(const char *category, const char *path, bool is_link);

/* How much of a pattern names directories, before its first wildcard: links among them are
 * followed. */
size_t sb_prune_directories(const char *pattern);

struct sb_pruned {
    uint64_t files, bytes;
};

/* Removes from the open directory root what the categories and patterns (of .dockerignore, anchored
 * at the root) take of what lies below the open directory written: root itself, or the directory
 * that a layer is written to, whose whiteouts are passed over. Directories that become empty go
 * too, but for those of manual pages, which later packages expect. Links among the directories that
 * a pattern names before its first wildcard are followed, within root; others are not. */
int sb_prune_tree(const struct sb_strings *what, int root, int written, struct sb_pruned *out,
                  struct sb_error *err);

#endif
