/*
 * layers/rootfs: the merged root file system of an image, as a stream of tar entries. The inside of
 * layers/export.
 */
#ifndef SB_LAYERS_ROOTFS_H
#define SB_LAYERS_ROOTFS_H

#include "layers/archive.h"
#include "layers/image.h"

int sb_rootfs_write(struct sb_store *store, const struct sb_image *image,
                    struct sb_archive *archive, struct sb_error *err);

#endif
