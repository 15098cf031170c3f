/*
 * registry/transfer: what a push or a pull tells of the blobs that it moves.
 */
#ifndef SB_REGISTRY_TRANSFER_H
#define SB_REGISTRY_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "layers/store.h"

/* X(state, name in JSON) */
#define SB_TRANSFER_STATES(X)                                                                      \
    X(SB_TRANSFER_START, "start")         /* its bytes begin to go over the network */             \
    X(SB_TRANSFER_PROGRESS, "progress")   /* so many have gone; from time to time */               \
    X(SB_TRANSFER_DONE, "done")           /* all have */                                           \
    X(SB_TRANSFER_EXISTS, "exists")       /* nothing to do: it is there already */                 \
    X(SB_TRANSFER_MOUNTED, "mounted")     /* taken from another repository of the registry */      \
    X(SB_TRANSFER_CONVERT, "convert")     /* is being compressed anew before it goes; */           \
    X(SB_TRANSFER_CONVERTED, "converted") /* was, and goes under another digest */                 \
    X(SB_TRANSFER_UNPACK, "unpack")       /* is being unpacked; */                                 \
    X(SB_TRANSFER_UNPACKED, "unpacked")   /* was */

enum sb_transfer_state {
#define X(state, name) state,
    SB_TRANSFER_STATES(X)
#undef X
};

struct sb_transfer_event {
    enum sb_transfer_state state;
    bool sending;                     /* to where; else from there */
    const struct sb_descriptor *blob; /* a layer or a config */
    uint64_t bytes;                   /* so far, of blob->size */
    const char *where;                /* "registry.example.com/team/app"; may be NULL */
};

/* Called from any thread, also from several at once. */
typedef void sb_transfer_notify(void *data, const struct sb_transfer_event *event);

#endif
