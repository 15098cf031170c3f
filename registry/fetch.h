/*
 * registry/fetch: single blobs from where they lie into the store (layers/origin.h). Private to
 * pulling and pushing.
 */
#ifndef SB_REGISTRY_FETCH_H
#define SB_REGISTRY_FETCH_H

#include "base/error.h"
#include "layers/origin.h"
#include "layers/store.h"
#include "registry/remote.h"
#include "registry/transfer.h"

/* Who wants to know of the bytes; notify may be NULL. */
struct sb_fetch_watch {
    sb_transfer_notify *notify;
    void *data;
    bool sending;
};
void sb_fetch_tell(const struct sb_fetch_watch *watch, enum sb_transfer_state state,
                   const struct sb_descriptor *blob, uint64_t bytes, const char *where);

/* What the fetch of a blob source gets as data. */
struct sb_fetch_source {
    struct sb_registry *registry;
    struct sb_fetch_watch watch;
    const struct sb_cancel *cancel; /* may be NULL */
};
/* Tries the origins in turn: the fetch of struct sb_blob_source. */
int sb_fetch_from_origins(void *source, struct sb_store *store, const struct sb_descriptor *blob,
                          const struct sb_strings *origins, struct sb_error *err);

/* What a registry does not have, or can't be used, ends in the exit status of registries. Returns
 * -1. */
int sb_registry_failed(struct sb_error *err);

#endif
