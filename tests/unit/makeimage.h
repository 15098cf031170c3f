/*
 * tests/unit/makeimage: images made of tars made by hand (tests/unit/maketar.h).
 */
#ifndef SB_TESTS_UNIT_MAKEIMAGE_H
#define SB_TESTS_UNIT_MAKEIMAGE_H

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "layers/image.h"

/* Adds a layer, gzip-compressed or as it is, with its tar size known or not. */
static inline void makeimage_layer(struct sb_store *store, struct sb_image *image,
                                   const struct sb_buf *tar, int gzip) {
    struct sb_error err = {0};
    struct sb_layer layer = {.diff_id = sb_digest_of(tar->data, tar->len),
                             .tar_size = gzip ? 0 : tar->len};
    sb_autobuf struct sb_buf blob = {0};
    if (gzip) {
        z_stream z = {0};
        deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
        sb_buf_reserve(&blob, deflateBound(&z, tar->len));
        z.next_in = (Bytef *)tar->data;
        z.avail_in = (uInt)tar->len;
        z.next_out = (Bytef *)blob.data;
        z.avail_out = (uInt)blob.cap;
        deflate(&z, Z_FINISH);
        blob.len = blob.cap - z.avail_out;
        deflateEnd(&z);
    } else {
        sb_buf_add(&blob, tar->data, tar->len);
    }
    layer.descriptor.media_type = gzip ? SB_MEDIA_LAYER_GZIP : SB_MEDIA_LAYER_TAR;
    layer.descriptor.size = blob.len;
    if (sb_blob_put(store, blob.data, blob.len, &layer.descriptor.digest, &err) < 0) {
        printf("%s\n", err.message);
        exit(1);
    }
    sb_image_add_layer(image, &layer, NULL, "made by hand");
}

static inline void makeimage_save(struct sb_store *store, struct sb_image *image) {
    struct sb_error err = {0};
    if (sb_image_save(store, image, 0, &err) < 0) {
        printf("%s\n", err.message);
        exit(1);
    }
}

#endif
