/*
 * builder/remote_cache: cache records that any number of machines share through repositories of
 * registries (builder/cache_record.h).
 *
 *     sb_remote_cache_new(&options, &cache, &err)
 *     sb_remote_cache_find(cache, &key, &owner, …)   one request; downloads no layer
 *     sb_remote_cache_put(cache, &key, …)            remembered, or sent by threads once started
 *     sb_remote_cache_start(cache)
 *     sb_remote_cache_finish(cache)                  waits for the rest
 *     sb_remote_cache_free(cache)
 *
 * A record that is found becomes a local one, whose layer stays in the repository
 * (layers/origin.h) until somebody opens it. A repository that fails is told of once and then left
 * alone: a build never fails for its cache. Keys that a secret is part of are neither looked for
 * nor sent.
 */
#ifndef SB_BUILDER_REMOTE_CACHE_H
#define SB_BUILDER_REMOTE_CACHE_H

#include <stdbool.h>

#include "base/error.h"
#include "builder/cache.h"
#include "layers/store.h"
#include "registry/remote.h"

struct sb_remote_cache_options {
    struct sb_store *store;
    struct sb_registry *registry;
    const struct sb_strings *from; /* repositories: "registry.example.com/team/cache" */
    const char *to;                /* NULL: none */
    bool replace;                  /* what is built here replaces records of other layers */
    void (*warn)(void *data, const char *message); /* from any thread */
    void *data;
};

struct sb_remote_cache;
/* store and registry must outlive it; asks nobody yet. SB_E_USAGE when a repository's name is
 * wrong. Becomes the store's source of tables of contents. */
int sb_remote_cache_new(const struct sb_remote_cache_options *options, struct sb_remote_cache **out,
                        struct sb_error *err);
/* NULL is allowed; drops what was not sent. */
void sb_remote_cache_free(struct sb_remote_cache *cache);

/* True when a repository has the record; it is then a local record of the owner's, too, with the
 * listings of what is copied. */
bool sb_remote_cache_find(struct sb_remote_cache *cache, const struct sb_cache_key *key,
                          const struct sb_cache_owner *owner, const struct sb_copies *copies,
                          struct sb_cache_found *out);
/* Tells of a layer that was found in the store: its tables of contents may be elsewhere. */
void sb_remote_cache_know(struct sb_remote_cache *cache, const struct sb_cache_key *key,
                          const struct sb_parts *parts);

/* A layer that was built or found: the repository gets its record, unless it has it, or in any case
 * (replace). recipe and name are for people. Sends nothing before sb_remote_cache_start or _finish.
 */
void sb_remote_cache_put(struct sb_remote_cache *cache, const struct sb_cache_key *key,
                         const char *recipe, const char *name, const struct sb_parts *parts,
                         double seconds, bool replace);
/* From now on there may be threads (none may be when a process enters a user namespace). */
void sb_remote_cache_start(struct sb_remote_cache *cache);
/* Sends the rest, and ends the threads; after an interruption only that. */
void sb_remote_cache_finish(struct sb_remote_cache *cache);

#endif
