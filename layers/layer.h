/*
 * layers/layer: what a layer is to all that make, read and move it: a tar, known by its diff ID, in
 * a blob; and how that blob is to be made.
 */
#ifndef SB_LAYERS_LAYER_H
#define SB_LAYERS_LAYER_H

#include <stdint.h>

#include "base/digest.h"
#include "layers/store.h"

/* Bytes of tar that are compressed by themselves (layers/pack.h). */
#define SB_FRAME_SIZE (4u << 20)

enum sb_compression {
    SB_COMPRESSION_ZSTD,
    SB_COMPRESSION_GZIP,
    SB_COMPRESSION_NONE,
};

/* Called by the thread that packs, every second or so while much is packed: bytes of content so
 * far. */
struct sb_pack_progress {
    void (*tell)(void *data, uint64_t bytes);
    void *data;
};

struct sb_pack_options {
    enum sb_compression compression;
    int level;                         /* 0: the default of the method (zstd 3, gzip 6) */
    int threads;                       /* compressing threads; 0: one a core */
    const struct sb_blob_watch *watch; /* of the layer's blob; any thread calls it; may be NULL */
    const struct sb_pack_progress *progress; /* may be NULL; must live until the packer ends */
};

/* A layer that is in the store. */
struct sb_layer {
    struct sb_digest diff_id;        /* of the tar */
    uint64_t tar_size;               /* bytes of the tar */
    struct sb_descriptor descriptor; /* of the blob; media_type is a static string */
};

#endif
