/*
 * builder/cache: records of layers that were built, by cache key.
 *
 * A key is the SHA-256 over the canonical JSON of everything that the layer depends on; that JSON
 * is kept in the record, so that the reason why a layer has to be built again can be told. Format:
 * docs/formats.md, "Cache records".
 */
#ifndef SB_BUILDER_CACHE_H
#define SB_BUILDER_CACHE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/digest.h"
#include "base/error.h"
#include "builder/copy.h"
#include "layers/pack.h"
#include "layers/store.h"

/* What a layer depends on. listing (of copied files, may be NULL) is kept beside the record by its
 * digest, which stands in json as "content". */
struct sb_cache_key {
    json_t *json;
    struct sb_digest digest;
};
void sb_cache_key_free(struct sb_cache_key *key);

struct sb_cache_owner { /* which layer of which recipe: where "what changed?" looks */
    const char *recipe; /* its path, absolute */
    const char *layer;
};

/* True when there is a record and its blob is in the store, or known to lie in a registry; both are
 * then marked used. A damaged record counts as none. */
bool sb_cache_find(struct sb_store *store, const struct sb_cache_key *key, struct sb_layer *out);

/* Publishes a record and points the owner's "last" at it. */
int sb_cache_put(struct sb_store *store, const struct sb_cache_key *key,
                 const struct sb_cache_owner *owner, const struct sb_layer *layer, double seconds,
                 const char *listing, size_t listing_len, struct sb_error *err);

/* Points the owner's "last" at a key that was hit; no write when it is there already. */
void sb_cache_remember(struct sb_store *store, const struct sb_cache_key *key,
                       const struct sb_cache_owner *owner);

/* Whether this layer of this recipe was ever built in this store. */
bool sb_cache_has_last(struct sb_store *store, const struct sb_cache_owner *owner);

/* Why key is not the one that the owner was built with last: "src/main.py changed", "never built
 * here". list: what is copied now, or NULL. The caller's to free. */
char *sb_cache_explain(struct sb_store *store, const struct sb_cache_key *key,
                       const struct sb_cache_owner *owner, const struct sb_copy_list *list);

/* Waits until no other process or thread builds this key; waiting is called once if that takes
 * time. Returns the lock, or -1. */
int sb_cache_lock(struct sb_store *store, const struct sb_cache_key *key, void (*waiting)(void *),
                  void *data, struct sb_error *err);

/* HMAC of a secret's value with this store's own key, which never leaves it. */
int sb_cache_secret_digest(struct sb_store *store, const void *value, size_t len,
                           struct sb_digest *out, struct sb_error *err);

#endif
