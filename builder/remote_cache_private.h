/*
 * What the files behind builder/remote_cache.h share.
 */
#ifndef SB_BUILDER_REMOTE_CACHE_PRIVATE_H
#define SB_BUILDER_REMOTE_CACHE_PRIVATE_H

#include <pthread.h>

#include "builder/cache_record.h"
#include "builder/remote_cache.h"

struct sb_cache_repository {
    char *name; /* "host/repository" */
    struct sb_remote *remote;
    bool failed; /* under lock: it was told of, and is left alone */
};

/* Where the table of contents of a layer that was found lies. */
struct sb_known_contents {
    struct sb_digest diff_id, blob; /* of the layer */
    struct sb_descriptor contents;
    char *repository;
};

struct sb_cache_job;

struct sb_remote_cache {
    struct sb_remote_cache_options options;
    struct sb_cache_repository *from;
    size_t from_count;
    struct sb_cache_repository to; /* remote is NULL when there is none */
    pthread_mutex_t lock;          /* guards all below, and `failed` */
    pthread_cond_t changed;
    struct sb_known_contents *known;
    size_t known_count, known_cap;
    struct sb_cache_job *first, **end; /* waiting to be sent */
    pthread_t threads[4];
    size_t thread_count, idle;
    bool started, finishing;
};

/* A record that was written or said to be in use longer ago is written anew. */
#define SB_CACHE_RENEW_SECONDS (24 * 60 * 60)

/* Tells of a failure once for each repository. */
void sb_cache_repository_fail(struct sb_remote_cache *cache, struct sb_cache_repository *repository,
                              const struct sb_error *err);
bool sb_cache_repository_failed(struct sb_remote_cache *cache,
                                const struct sb_cache_repository *repository);
/* False when the record at that tag is missing, or counts as none. manifest is to be freed in every
 * case. */
bool sb_cache_repository_get(struct sb_remote_cache *cache, struct sb_cache_repository *repository,
                             const struct sb_digest *key, struct sb_manifest *manifest,
                             struct sb_cache_record *out);

/* ---- remote_contents.c ---- */

void sb_known_contents_add(struct sb_remote_cache *cache, const struct sb_layer *layer,
                           const struct sb_descriptor *contents, const char *repository);
/* A copy, to be freed by the caller (repository); false when nothing is known. */
bool sb_known_contents_find(struct sb_remote_cache *cache, const struct sb_layer *layer,
                            struct sb_known_contents *out);
/* struct sb_contents_source's open; data is the cache. */
int sb_remote_contents_open(void *data, struct sb_store *store, const struct sb_layer *layer,
                            struct sb_contents **out, struct sb_error *err);
/* The blob of a layer's table, and the digest of the table itself. False when it can't be had
 * without the layer, or is too large. */
bool sb_remote_contents_pack(struct sb_remote_cache *cache, const struct sb_layer *layer,
                             struct sb_buf *out, struct sb_digest *out_diff_id);

/* ---- remote_put.c ---- */

void sb_cache_jobs_free(struct sb_remote_cache *cache);

#endif
