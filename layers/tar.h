/*
 * layers/tar: the tar headers of a layer, byte for byte.
 *
 * POSIX.1-2001 pax interchange format: a ustar header for each entry, and a pax extended header in
 * front of it for just those values that ustar can't hold. Nothing but the entry decides the bytes:
 * no names of users, no time of packing, no locale. Format: docs/formats.md, "Layer tar and
 * frames".
 */
#ifndef SB_LAYERS_TAR_H
#define SB_LAYERS_TAR_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/entry.h"

#define SB_TAR_BLOCK 512
#define SB_TAR_END   1024 /* zero bytes that end an archive */

/* Appends the header blocks of entry. Values that no tar can hold, or that readers would refuse,
 * are SB_E_FAILED and name the entry; then out is as it was. */
int sb_tar_header(const struct sb_entry *entry, struct sb_buf *out, struct sb_error *err);

/* Zero bytes that follow a regular file's content. */
static inline size_t sb_tar_padding(uint64_t size) {
    return (size_t)(-size % SB_TAR_BLOCK);
}

#endif
