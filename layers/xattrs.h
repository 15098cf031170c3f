/*
 * layers/xattrs: the extended attributes of a file that belong into a layer.
 */
#ifndef SB_LAYERS_XATTRS_H
#define SB_LAYERS_XATTRS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/entry.h"

/* Start from {0}; the memory is kept from file to file. */
struct sb_xattrs {
    struct sb_xattr *v; /* sorted by name; names and values lie in the buffers below */
    size_t n, cap;
    bool opaque; /* overlayfs marks the directory as opaque */
    struct sb_buf names, values;
};

/* Reads them of an open file, or, with fd -1, of name in dirfd, not following a symlink. Those that
 * belong to the host are left out: of "security.", all but the file capabilities. With overlay,
 * overlayfs' own are left out too and "opaque" is filled; marks that a layer can't express (a
 * renamed directory, metadata without content) are errors. path names the file in messages. */
int sb_xattrs_read(struct sb_xattrs *xattrs, int fd, int dirfd, const char *name, bool overlay,
                   const char *path, struct sb_error *err);
void sb_xattrs_free(struct sb_xattrs *xattrs);

#endif
