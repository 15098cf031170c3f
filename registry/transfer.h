/*
 * registry/transfer: what a push or a pull tells of the blobs that it moves.
 */
#ifndef SB_REGISTRY_TRANSFER_H
#define SB_REGISTRY_TRANSFER_H

#include <stdint.h>

#include "layers/store.h"

enum sb_transfer_state {
    SB_TRANSFER_START,    /* its bytes begin to go over the network */
    SB_TRANSFER_PROGRESS, /* so many have gone; from time to time */
    SB_TRANSFER_DONE,     /* all have */
    SB_TRANSFER_EXISTS,   /* nothing to do: it is there already */
    SB_TRANSFER_MOUNTED,  /* the registry took it from another of its repositories */
    SB_TRANSFER_CONVERT,  /* it is being compressed anew before it goes */
    SB_TRANSFER_UNPACK,   /* it is being unpacked */
};

struct sb_transfer_event {
    enum sb_transfer_state state;
    const struct sb_descriptor *blob; /* a layer or a config */
    uint64_t bytes;                   /* so far, of blob->size */
    const char *where;                /* "registry.example.com/team/app" */
};

/* Called from any thread, also from several at once. */
typedef void sb_transfer_notify(void *data, const struct sb_transfer_event *event);

#endif
