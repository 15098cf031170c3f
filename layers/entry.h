/*
 * layers/entry: one member of a layer, as tar, trees and tables of contents all describe it.
 */
#ifndef SB_LAYERS_ENTRY_H
#define SB_LAYERS_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Limits of what is read from, or written to, a layer. */
#define SB_PATH_LIMIT  4096  /* bytes of a path inside a layer */
#define SB_XATTR_LIMIT 65536 /* bytes of one extended attribute (Linux' own limit) */
#define SB_LAYER_LIMIT 127   /* layers of one image, as Docker and containerd allow */

/* Names have to be in memory, all of a layer's at once, and all of an image's where its layers are
 * merged. So these have a budget: for each entry the bytes of its path, its link target and its
 * extended attributes, and SB_ENTRY_COST for the rest. Half a million files with ordinary names
 * take a third of it; what is made of it takes twice as much memory at most. */
#define SB_NAMES_LIMIT (256ull << 20)
#define SB_ENTRY_COST  128
#define SB_ARTIFACT_LAYER_LIMIT                                                                    \
    (SB_LAYER_LIMIT + 1) /* of an artifact: it may have a layer beside its image's */

/* Whiteouts: image-spec 1.1, layer.md, "Whiteouts". */
#define SB_WHITEOUT_PREFIX ".wh."
#define SB_WHITEOUT_OPAQUE ".wh..wh..opq"

struct sb_xattr {
    char *name;
    char *value; /* any bytes */
    size_t value_len;
};

/* Strings belong to whoever made the entry. Bytes are kept as they are: names need not be UTF-8. */
struct sb_entry {
    const char *path; /* relative to the layer's root: "usr/bin/env"; no leading or trailing "/" */
    const char *link; /* target of a symlink, or path of the entry that a hard link repeats */
    mode_t mode;      /* type (S_IFMT) and permissions; a hard link has its target's type */
    bool hard_link;
    uint32_t uid, gid;
    uint64_t size; /* bytes of a regular file's contents; 0 for anything else */
    int64_t mtime; /* seconds since 1970, may be negative */
    uint32_t mtime_nsec;
    uint32_t device_major, device_minor; /* of S_IFCHR and S_IFBLK */
    const struct sb_xattr *xattrs;       /* sorted by name */
    size_t xattr_count;
};

/* Adds what the entry takes to *total. SB_E_INTEGRITY when that becomes more than SB_NAMES_LIMIT;
 * what: "the layer", "the image". */
int sb_names_count(uint64_t *total, const struct sb_entry *entry, const char *what,
                   struct sb_error *err);
/* That error, for who counts by itself. */
int sb_names_too_many(const char *what, struct sb_error *err);

#endif
