/*
 * base/tree: directory trees of any depth, walked and removed.
 *
 * What a step or a layer left may be nested deeper than a process may have files open, than a path
 * may be long, and than a stack reaches. Both functions hold a few dozen descriptors at most, and
 * go back up by "..", where they check that they are where they came from. Nothing is followed, and
 * the file system that the tree begins on is not left.
 */
#ifndef SB_BASE_TREE_H
#define SB_BASE_TREE_H

#include <stddef.h>

#include "base/error.h"

struct sb_tree_entry {
    int dir; /* that it is in */
    const char *name;
    const char *path;   /* from the tree's root, "a/b"; may be longer than a system call takes */
    unsigned char type; /* DT_DIR and so on, never DT_UNKNOWN */
    size_t depth;       /* 1: in the tree's root */
};
/* Called for each entry, a directory's before those in it. 0: go on; 1: pass over what is in it;
 * -1 and err: stop. A directory may be removed, and its mode changed. */
typedef int sb_tree_visit(void *self, const struct sb_tree_entry *entry, struct sb_error *err);

/* Calls enter, and for each directory, after what is in it, leave (which may be NULL). The root
 * itself, dirfd/name, is not visited. Entries come in no order. Directories that are not there any
 * more are passed over. An interruption ends it. */
int sb_tree_walk(int dirfd, const char *name, sb_tree_visit *enter, sb_tree_visit *leave,
                 void *self, struct sb_error *err);

/* rm -rf of one name; makes unreadable directories readable on the way. A missing name is success.
 * An interruption ends it; one that came before, and after which somebody cleans up, in five
 * seconds. */
int sb_tree_remove(int dirfd, const char *name, struct sb_error *err);

#endif
