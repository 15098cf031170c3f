/*
 * layers/xattr_set: extended attributes by path, for what lies somewhere that could not take them:
 * files of an image that were laid out by a user.
 */
#ifndef SB_LAYERS_XATTR_SET_H
#define SB_LAYERS_XATTR_SET_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/map.h"
#include "layers/entry.h"

/* Start from {0}. */
struct sb_xattr_set {
    struct sb_map paths; /* to 1 + index */
    struct sb_entry *v;  /* with copies of path and xattrs */
    size_t n, cap;
    uint64_t bytes;
};
void sb_xattr_set_free(struct sb_xattr_set *set);

/* The entry takes the place of what is at its path, as when layers are unpacked: a hard link has
 * the attributes of what it repeats. Those that only root may set are left out. SB_E_INTEGRITY when
 * all would take too much memory. */
int sb_xattr_set_put(struct sb_xattr_set *set, const struct sb_entry *entry, struct sb_error *err);

/* Gives the entry what is known of its path; it belongs to the set. */
void sb_xattr_set_give(const struct sb_xattr_set *set, struct sb_entry *entry);

#endif
