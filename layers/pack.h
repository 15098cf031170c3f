/*
 * layers/pack: entries in, a finished layer blob out, in one pass.
 *
 *     entries → tar (pax) → diff ID
 *                         ↘ frames, compressed by several threads → digest → blob store
 *
 * The tar stream is cut every SB_FRAME_SIZE bytes, wherever that falls, and each cut becomes a zstd
 * frame or gzip member of its own: so the bytes do not depend on the number of threads, and readers
 * can use every core too. Memory is bounded by a fixed number of frames, whatever the layer's size.
 *
 * tar: POSIX.1-2001 pax, with ustar headers wherever they hold the value. Written here rather than
 * by libarchive because the diff ID is sbuild's promise: it must not change with a library's
 * version or with the locale.
 *
 * A packer also writes the layer's table of contents (layers/contents.h).
 */
#ifndef SB_LAYERS_PACK_H
#define SB_LAYERS_PACK_H

#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"
#include "layers/entry.h"
#include "layers/store.h"

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

struct sb_packer;

int sb_packer_start(struct sb_store *store, const struct sb_pack_options *options,
                    struct sb_packer **out, struct sb_error *err);

/* Starts the next entry, copying what it needs. Entries must come in an order in which a parent
 * directory comes before what is in it. A regular file with a size is followed by exactly that
 * many bytes through sb_packer_data or sb_packer_file. */
int sb_packer_entry(struct sb_packer *packer, const struct sb_entry *entry, struct sb_error *err);
int sb_packer_data(struct sb_packer *packer, const void *data, size_t len, struct sb_error *err);
/* Reads the current entry's size from fd, holes as zeros; a file that turns out shorter or longer
 * is an error that names what. digest_out, when given, gets the SHA-256 of the content. */
int sb_packer_file(struct sb_packer *packer, int fd, const char *what, struct sb_digest *digest_out,
                   struct sb_error *err);
/* Ends the layer, publishes blob and table of contents, and frees the packer in every case. A layer
 * without entries is valid. */
int sb_packer_finish(struct sb_packer *packer, struct sb_layer *out, struct sb_error *err);
void sb_packer_abort(struct sb_packer *packer); /* NULL is allowed */

#endif
