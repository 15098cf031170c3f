/*
 * layers/extract: some paths of an image, laid out as files to be read: what is copied from it.
 *
 *     sb_extract_paths(store, &image, &stack, &paths, dirfd, &failed, &err)
 *
 * Only layers that hold something of them are read. Whom files belong to, and all of their modes,
 * the stack of tables of contents says: here they are the caller's own, so that anybody may do it.
 */
#ifndef SB_LAYERS_EXTRACT_H
#define SB_LAYERS_EXTRACT_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/contents.h"
#include "layers/image.h"
#include "layers/xattr_set.h"

/* Lays out what the paths ("opt/venv"; "" is all of it) name, with all below them, in the empty
 * open directory, below their names. What isn't there isn't laid out. stack: the tables of all of
 * the image's layers. xattrs gets the extended attributes of all that is laid out, which may have
 * none here. After an error *out_failed is the layer that could not be read, or their count. */
int sb_extract_paths(struct sb_store *store, const struct sb_image *image,
                     const struct sb_stack *stack, const struct sb_strings *paths, int dirfd,
                     struct sb_xattr_set *xattrs, size_t *out_failed, struct sb_error *err);

#endif
