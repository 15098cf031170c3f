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
#include "context/copy.h"
#include "layers/parts.h"
#include "layers/store.h"

/* What a layer depends on. Listings of copied files are kept beside the record by their digests,
 * which stand in json as "content". */
struct sb_cache_key {
    json_t *json;
    struct sb_digest digest;
};
void sb_cache_key_free(struct sb_cache_key *key);

struct sb_cache_owner { /* which layer of which recipe: where "what changed?" looks */
    const char *recipe; /* its path, absolute */
    const char *layer;
};

/* True when no secret is part of the key: others may see the record, and can use it. */
bool sb_cache_key_is_shareable(const struct sb_cache_key *key);

/* What was found: a layer that is in the store, or can be fetched (layers/origin.h). */
struct sb_cache_found {
    struct sb_parts parts;  /* the caller's to free or move; none when nothing was found */
    const char *repository; /* where it was found just now; NULL: in the store */
};
/* True when there is a record whose blob is in the store, or known to be elsewhere; all are then
 * marked used. A damaged record counts as none. */
bool sb_cache_find(struct sb_store *store, const struct sb_cache_key *key,
                   struct sb_cache_found *out);

/* Marks what a record says as used, whoever told of it; false when a blob is nowhere known. */
bool sb_cache_use(struct sb_store *store, const struct sb_digest *key,
                  const struct sb_parts *parts);

/* The layer as the owner had it last, whatever its key is now. */
bool sb_cache_find_last(struct sb_store *store, const struct sb_cache_owner *owner,
                        struct sb_cache_found *out);

/* What a record says of a layer. */
struct sb_cache_facts {
    const struct sb_parts *parts;
    double seconds;
    const struct sb_copies *copies; /* whose listings are kept; NULL: none */
    const char *repository; /* whose record this was ("host/repository"); NULL: built here */
    const struct sb_descriptor *contents; /* there: each part's table of contents; NULL: none */
    bool shared;                          /* that repository needs no record of it for now */
};
/* Publishes a record and points the owner's "last" at it. owner: NULL of a key that stands beside
 * the layer's own. */
int sb_cache_put(struct sb_store *store, const struct sb_cache_key *key,
                 const struct sb_cache_owner *owner, const struct sb_cache_facts *facts,
                 struct sb_error *err);

/* Where the tables of contents of the layer's parts lie, for a record that came from a repository;
 * false when that isn't known of all. *out_contents, one for each of the parts and without media
 * types, and *out_repository are the caller's to free. */
bool sb_cache_contents(struct sb_store *store, const struct sb_cache_key *key, size_t parts,
                       struct sb_descriptor **out_contents, char **out_repository);

/* When that repository was last seen to have a record of the key; 0: never. */
int64_t sb_cache_shared_at(struct sb_store *store, const struct sb_cache_key *key,
                           const char *repository);
void sb_cache_mark_shared(struct sb_store *store, const struct sb_cache_key *key,
                          const char *repository);

/* The layer of a record turned out not to be had, or not to be what the record says: it is found no
 * more, neither here nor in a repository, until the layer was built here. False, and nothing is
 * done, when that is how the record came about. */
bool sb_cache_reject(struct sb_store *store, const struct sb_digest *key);
bool sb_cache_is_rejected(struct sb_store *store, const struct sb_cache_key *key);

/* Points the owner's "last" at a key that was hit; no write when it is there already. */
void sb_cache_remember(struct sb_store *store, const struct sb_cache_key *key,
                       const struct sb_cache_owner *owner);

/* Whether this layer of this recipe was ever built in this store. */
bool sb_cache_has_last(struct sb_store *store, const struct sb_cache_owner *owner);

/* Why key is not the one that the owner was built with last: "src/main.py changed", "never built
 * here". list: what is copied now, or NULL. The caller's to free. */
char *sb_cache_explain(struct sb_store *store, const struct sb_cache_key *key,
                       const struct sb_cache_owner *owner, const struct sb_copies *copies);

/* Waits until no other process or thread builds this key; waiting is called once if that takes
 * time. Returns the lock, or -1. */
int sb_cache_lock(struct sb_store *store, const struct sb_cache_key *key, void (*waiting)(void *),
                  void *data, struct sb_error *err);

/* HMAC of a secret's value with this store's own key, which never leaves it. */
int sb_cache_secret_digest(struct sb_store *store, const void *value, size_t len,
                           struct sb_digest *out, struct sb_error *err);

#endif
