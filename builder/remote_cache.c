#include "builder/remote_cache.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "builder/remote_cache_private.h"
#include "layers/origin.h"
#include "registry/reference.h"

/* Attempts at a cache that can't be reached: a build is often faster without it. */
enum { ATTEMPTS = 2 };

/* ---- repositories ---- */

static int open_repository(struct sb_remote_cache *cache, const char *text,
                           struct sb_cache_repository *out, struct sb_error *err) {
    struct sb_reference reference;
    if (!sb_reference_has_host(text)) {
        sb_fail(err, SB_E_USAGE, "the cache %s does not say which registry",
                sb_text_shown(text).text);
        return sb_error_hint(err, "begin with its host: registry.example.com/%.200s", text);
    }
    if (sb_reference_parse(text, &reference, err) < 0)
        return sb_error_context(err, "the cache %s", sb_text_shown(text).text);
    if (reference.tag || reference.has_digest) {
        sb_reference_free(&reference);
        return sb_fail(err, SB_E_USAGE, "the cache %s: a repository is expected, without a %s",
                       sb_text_shown(text).text, reference.has_digest ? "digest" : "tag");
    }
    out->name = sb_reference_name(&reference);
    out->remote = sb_remote_open(cache->options.registry, reference.host, reference.repository);
    sb_remote_set_attempts(out->remote, ATTEMPTS);
    sb_reference_free(&reference);
    return 0;
}

static void close_repository(struct sb_cache_repository *repository) {
    sb_remote_free(repository->remote);
    free(repository->name);
}

/* What can't be read can't be written, and a host that can't be reached has nothing. */
static void fail_too(struct sb_cache_repository *other, const struct sb_cache_repository *failed,
                     const struct sb_error *err) {
    if (!other->name)
        return;
    bool unreachable = err->code == SB_E_NETWORK && err->reason == SB_REASON_PASSING;
    bool same_host = !strcmp(sb_remote_host(other->remote), sb_remote_host(failed->remote));
    if (!strcmp(other->name, failed->name) || (unreachable && same_host))
        other->failed = true;
}

void sb_cache_repository_fail(struct sb_remote_cache *cache, struct sb_cache_repository *repository,
                              const struct sb_error *err) {
    pthread_mutex_lock(&cache->lock);
    bool first = !repository->failed;
    repository->failed = true;
    for (size_t i = 0; i < cache->from_count; i++)
        fail_too(&cache->from[i], repository, err);
    fail_too(&cache->to, repository, err);
    pthread_mutex_unlock(&cache->lock);
    if (!first || err->code == SB_E_INTERRUPTED)
        return;
    sb_autofree char *message =
        sb_format("the cache %s: %s; going on without it%s%s%s", repository->name, err->message,
                  *err->hint ? " (" : "", err->hint, *err->hint ? ")" : "");
    cache->options.warn(cache->options.data, message);
}

bool sb_cache_repository_failed(struct sb_remote_cache *cache,
                                const struct sb_cache_repository *repository) {
    pthread_mutex_lock(&cache->lock);
    bool failed = repository->failed;
    pthread_mutex_unlock(&cache->lock);
    return failed;
}

int sb_remote_cache_new(const struct sb_remote_cache_options *options, struct sb_remote_cache **out,
                        struct sb_error *err) {
    struct sb_remote_cache *cache = sb_alloc(sizeof *cache);
    cache->options = *options;
    cache->end = &cache->first;
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->changed, NULL);
    cache->from = sb_alloc((options->from->n + 1) * sizeof *cache->from);
    for (; cache->from_count < options->from->n; cache->from_count++) {
        const char *name = options->from->v[cache->from_count];
        if (open_repository(cache, name, &cache->from[cache->from_count], err) < 0)
            goto failed;
    }
    if (options->to && open_repository(cache, options->to, &cache->to, err) < 0)
        goto failed;
    if (cache->to.remote)
        sb_remote_will_push(cache->to.remote);
    struct sb_contents_source source = {sb_remote_contents_open, cache};
    sb_store_set_contents_source(options->store, &source);
    *out = cache;
    return 0;
failed:
    sb_remote_cache_free(cache);
    return -1;
}

void sb_remote_cache_free(struct sb_remote_cache *cache) {
    if (!cache)
        return;
    sb_cache_jobs_free(cache);
    sb_store_set_contents_source(cache->options.store, NULL);
    for (size_t i = 0; i < cache->from_count; i++)
        close_repository(&cache->from[i]);
    free(cache->from);
    close_repository(&cache->to);
    for (size_t i = 0; i < cache->known_count; i++)
        free(cache->known[i].repository);
    free(cache->known);
    pthread_mutex_destroy(&cache->lock);
    pthread_cond_destroy(&cache->changed);
    free(cache);
}

/* ---- finding ---- */

static void say_damaged(struct sb_remote_cache *cache, const struct sb_cache_repository *repository,
                        const char *tag, const struct sb_error *err) {
    sb_autofree char *message = sb_format("the cache %s: the record %s counts as none: %s",
                                          repository->name, tag, err->message);
    cache->options.warn(cache->options.data, message);
}

bool sb_cache_repository_get(struct sb_remote_cache *cache, struct sb_cache_repository *repository,
                             const struct sb_digest *key, struct sb_manifest *manifest,
                             struct sb_cache_record *out) {
    struct sb_error err = {0};
    struct sb_cache_tag tag = sb_cache_record_tag(key);
    *out = (struct sb_cache_record){0};
    if (sb_remote_manifest_get(repository->remote, tag.text, manifest, &err) < 0) {
        if (err.code == SB_E_INTEGRITY)
            say_damaged(cache, repository, tag.text, &err);
        else if (err.code != SB_E_NOT_FOUND)
            sb_cache_repository_fail(cache, repository, &err);
        return false;
    }
    int failed =
        sb_cache_record_parse(sb_buf_text(&manifest->bytes), manifest->bytes.len, out, &err);
    if (!failed && !sb_digest_equal(&out->key, key))
        failed = sb_fail(&err, SB_E_INTEGRITY, "it is that of another key");
    if (failed) {
        say_damaged(cache, repository, tag.text, &err);
        sb_cache_record_free(out);
    }
    return !failed;
}

/* The record becomes a local one; the layer is where it was found. */
static int adopt(struct sb_remote_cache *cache, const struct sb_cache_repository *repository,
                 const struct sb_cache_key *key, const struct sb_cache_owner *owner,
                 const struct sb_cache_record *record, const struct sb_copies *copies,
                 struct sb_error *err) {
    const struct sb_parts *parts = &record->parts;
    struct sb_store *store = cache->options.store;
    bool is_target = cache->to.name && !strcmp(cache->to.name, repository->name);
    bool fresh = record->created > (int64_t)time(NULL) - SB_CACHE_RENEW_SECONDS;
    struct sb_cache_facts facts = {.parts = parts,
                                   .seconds = record->seconds,
                                   .copies = copies,
                                   .repository = repository->name,
                                   .contents = record->contents,
                                   .shared = is_target && fresh};
    for (size_t i = 0; i < parts->n; i++)
        if (sb_blob_add_origin(store, &parts->v[i].descriptor.digest, repository->name, err) < 0)
            return -1;
    if (sb_cache_put(store, key, owner, &facts, err) < 0)
        return -1;
    for (size_t i = 0; record->contents && i < parts->n; i++)
        sb_known_contents_add(cache, &parts->v[i], &record->contents[i], repository->name);
    return 0;
}

bool sb_remote_cache_find(struct sb_remote_cache *cache, const struct sb_cache_key *key,
                          const struct sb_cache_owner *owner, const struct sb_copies *copies,
                          struct sb_cache_found *out) {
    if (!cache || cache->from_count == 0 || !sb_cache_key_is_shareable(key) ||
        sb_cache_is_rejected(cache->options.store, key))
        return false;
    for (size_t i = 0; i < cache->from_count && !sb_interrupt_signal(); i++) {
        struct sb_cache_repository *repository = &cache->from[i];
        struct sb_manifest manifest = {0};
        struct sb_cache_record record = {0};
        struct sb_error err = {0};
        bool found = !sb_cache_repository_failed(cache, repository) &&
                     sb_cache_repository_get(cache, repository, &key->digest, &manifest, &record);
        if (found && adopt(cache, repository, key, owner, &record, copies, &err) < 0) {
            sb_cache_repository_fail(cache, repository, &err);
            found = false;
        }
        *out = (struct sb_cache_found){.repository = found ? repository->name : NULL};
        if (found)
            sb_parts_move(&out->parts, &record.parts);
        sb_manifest_free(&manifest);
        sb_cache_record_free(&record);
        if (found)
            return true;
    }
    return false;
}

static bool are_here(struct sb_store *store, const struct sb_parts *parts) {
    bool here = true;
    for (size_t i = 0; here && i < parts->n; i++)
        here = sb_blob_has(store, &parts->v[i].descriptor.digest, parts->v[i].descriptor.size);
    return here;
}

void sb_remote_cache_know(struct sb_remote_cache *cache, const struct sb_cache_key *key,
                          const struct sb_parts *parts) {
    struct sb_store *store = cache ? cache->options.store : NULL;
    sb_autofree struct sb_descriptor *contents = NULL;
    sb_autofree char *repository = NULL;
    if (!store || are_here(store, parts) ||
        !sb_cache_contents(store, key, parts->n, &contents, &repository))
        return;
    for (size_t i = 0; i < parts->n; i++) {
        contents[i].media_type = SB_CACHE_CONTENTS_MEDIA;
        sb_known_contents_add(cache, &parts->v[i], &contents[i], repository);
    }
}
