/*
 * layers/item: the kinds of things that the store holds, as they are counted (layers/inventory) and
 * given back (layers/collect).
 */
#ifndef SB_LAYERS_ITEM_H
#define SB_LAYERS_ITEM_H

#include <stdint.h>

/* X(kind, name for people and --json) */
#define SB_ITEM_KINDS(X)                                                                           \
    X(SB_ITEM_BLOB, "blobs")                                                                       \
    X(SB_ITEM_TREE, "trees")                                                                       \
    X(SB_ITEM_CACHE, "caches")                                                                     \
    X(SB_ITEM_RECORD, "records")                                                                   \
    X(SB_ITEM_LISTING, "listings")                                                                 \
    X(SB_ITEM_ORIGIN, "origins")                                                                   \
    X(SB_ITEM_CONTENTS, "contents")                                                                \
    X(SB_ITEM_LOG, "logs")                                                                         \
    X(SB_ITEM_FAILED, "failed")                                                                    \
    X(SB_ITEM_NOTE, "notes")                                                                       \
    X(SB_ITEM_TEMPORARY, "temporaries")                                                            \
    X(SB_ITEM_OTHER, "other")

enum sb_item_kind {
#define X(kind, name) kind,
    SB_ITEM_KINDS(X)
#undef X
        SB_ITEM_KIND_COUNT,
};
const char *sb_item_kind_name(enum sb_item_kind kind);

/* Bytes are those that files and directories take on the disk, as du counts them. */
struct sb_store_amount {
    uint64_t count, bytes;
};

#endif
