/* Records on their way into a repository: a queue, and threads that empty it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "builder/remote_cache_private.h"
#include "layers/origin.h"

enum { SEND_ATTEMPTS = 4 };

struct sb_cache_job {
    struct sb_cache_job *next;
    struct sb_cache_key key;
    struct sb_cache_record record;
    bool replace; /* whatever is there */
};

static void free_job(struct sb_cache_job *job) {
    sb_cache_key_free(&job->key);
    sb_cache_record_free(&job->record);
    free(job);
}

/* ---- one record ---- */

static void mark_shared(struct sb_remote_cache *cache, const struct sb_cache_job *job) {
    sb_cache_mark_shared(cache->options.store, &job->key, cache->to.name);
}

/* True when the repository has a record of the key that stays. One that has not been said to be in
 * use for long is written anew, so that pruning spares it; that this fails doesn't matter. */
static bool is_there(struct sb_remote_cache *cache, const struct sb_cache_job *job) {
    if (job->replace)
        return false;
    struct sb_manifest manifest = {0};
    struct sb_cache_record old;
    bool there = sb_cache_repository_get(cache, &cache->to, &job->key.digest, &manifest, &old);
    there = there && (!cache->options.replace || sb_parts_equal(&old.parts, &job->record.parts));
    if (there && old.created < job->record.created - SB_CACHE_RENEW_SECONDS) {
        sb_autobuf struct sb_buf text = {0};
        if (sb_cache_record_renew(sb_buf_text(&manifest.bytes), manifest.bytes.len,
                                  job->record.created, &text, NULL) == 0)
            sb_remote_manifest_put(cache->to.remote, sb_cache_record_tag(&job->key.digest).text,
                                   SB_MEDIA_MANIFEST, text.data, text.len, NULL);
    }
    sb_cache_record_free(&old);
    sb_manifest_free(&manifest);
    return there;
}

/* From another repository of the same registry: 1 when done. *out_session: an upload that was
 * opened instead, or NULL. */
static int mount(struct sb_remote_cache *cache, const struct sb_digest *digest,
                 const struct sb_strings *names, char **out_session, struct sb_error *err) {
    const char *host = sb_remote_host(cache->to.remote);
    size_t n = strlen(host);
    *out_session = NULL;
    for (size_t i = 0; i < names->n; i++) {
        if (strncmp(names->v[i], host, n) != 0 || names->v[i][n] != '/' ||
            !strcmp(names->v[i], cache->to.name))
            continue;
        free(*out_session);
        *out_session = NULL;
        int mounted =
            sb_remote_blob_mount(cache->to.remote, digest, names->v[i] + n + 1, out_session, err);
        if (mounted != 0)
            return mounted;
    }
    return 0;
}

static int upload(struct sb_remote_cache *cache, const struct sb_descriptor *blob,
                  const char *session, struct sb_error *err) {
    sb_autoclose int fd = sb_blob_open(cache->options.store, &blob->digest, blob->size, err);
    if (fd < 0)
        return -1;
    struct sb_remote_upload upload = {.blob = *blob, .fd = fd, .session = session};
    return sb_remote_blob_put(cache->to.remote, &upload, err);
}

/* 1: the repository has the blob; 0: it can't be had without fetching it first, which sharing isn't
 * worth. */
static int send_blob(struct sb_remote_cache *cache, const struct sb_descriptor *blob,
                     struct sb_error *err) {
    struct sb_store *store = cache->options.store;
    sb_autostrings struct sb_strings names = {0};
    sb_autofree char *session = NULL;
    int there = sb_remote_blob_head(cache->to.remote, blob, err);
    if (there != 0)
        return there;
    if (sb_blob_origins(store, &blob->digest, &names, err) < 0)
        return -1;
    int mounted = mount(cache, &blob->digest, &names, &session, err);
    if (mounted != 0)
        return mounted;
    if (!sb_blob_has(store, &blob->digest, blob->size))
        return 0;
    return upload(cache, blob, session, err) < 0 ? -1 : 1;
}

/* A part's table of contents: 1 when it was sent, 0 when it can't be had. */
static int send_table(struct sb_remote_cache *cache, const struct sb_layer *part,
                      struct sb_descriptor *out, struct sb_digest *out_diff_id,
                      struct sb_error *err) {
    sb_autobuf struct sb_buf packed = {0};
    if (!sb_remote_contents_pack(cache, part, &packed, out_diff_id))
        return 0;
    *out = (struct sb_descriptor){.media_type = SB_CACHE_CONTENTS_MEDIA, .size = packed.len};
    return sb_remote_blob_put_bytes(cache->to.remote, packed.data, packed.len, &out->digest, err) <
                   0
               ? -1
               : 1;
}

/* Those of all parts, into the record, or of none; 1 when out_diff_ids has one for each. */
static int send_contents(struct sb_remote_cache *cache, struct sb_cache_record *record,
                         struct sb_digest *out_diff_ids, struct sb_error *err) {
    size_t n = record->parts.n;
    sb_autofree struct sb_descriptor *tables = sb_alloc((n + 1) * sizeof *tables);
    int sent = 1;
    for (size_t i = 0; sent > 0 && i < n; i++)
        sent = send_table(cache, &record->parts.v[i], &tables[i], &out_diff_ids[i], err);
    free(record->contents);
    record->contents = sent > 0 ? sb_steal(tables) : NULL;
    return sent;
}

static int send_manifest(struct sb_remote_cache *cache, const struct sb_cache_job *job,
                         const struct sb_digest *contents_diff_ids, struct sb_error *err) {
    sb_autobuf struct sb_buf config = {0};
    sb_autobuf struct sb_buf manifest = {0};
    sb_cache_record_config(&job->record, contents_diff_ids, job->key.json, &config);
    struct sb_descriptor descriptor = {.media_type = SB_MEDIA_CONFIG, .size = config.len};
    if (sb_remote_blob_put_bytes(cache->to.remote, config.data, config.len, &descriptor.digest,
                                 err) < 0)
        return -1;
    sb_cache_record_print(&job->record, &descriptor, &manifest);
    const char *tag = sb_cache_record_tag(&job->key.digest).text;
    return sb_remote_manifest_put(cache->to.remote, tag, SB_MEDIA_MANIFEST, manifest.data,
                                  manifest.len, err);
}

static int send_record(struct sb_remote_cache *cache, struct sb_cache_job *job,
                       struct sb_error *err) {
    struct sb_cache_record *record = &job->record;
    const struct sb_parts *parts = &record->parts;
    struct sb_digest diff_ids[SB_PARTS_LIMIT];
    for (size_t i = 0; i < parts->n; i++) {
        int there = send_blob(cache, &parts->v[i].descriptor, err);
        if (there <= 0)
            return there;
    }
    int contents = send_contents(cache, record, diff_ids, err);
    if (contents < 0 || send_manifest(cache, job, contents ? diff_ids : NULL, err) < 0)
        return -1;
    mark_shared(cache, job);
    for (size_t i = 0; i < parts->n; i++)
        if (sb_blob_add_origin(cache->options.store, &parts->v[i].descriptor.digest, cache->to.name,
                               err) < 0)
            return -1;
    return 0;
}

/* Registries have been seen to lose sight of a blob for a moment while others upload it too. */
static void pause_between(int attempt) {
    struct timespec time = {.tv_nsec = 100000000L * attempt + (long)(random() % 100000000)};
    nanosleep(&time, NULL);
}

static void do_job(struct sb_remote_cache *cache, struct sb_cache_job *job) {
    struct sb_error err = {0};
    for (int attempt = 1;; attempt++) {
        if (sb_interrupt_signal() || sb_cache_repository_failed(cache, &cache->to))
            return;
        if (is_there(cache, job)) {
            mark_shared(cache, job);
            return;
        }
        if (sb_cache_repository_failed(cache, &cache->to) || send_record(cache, job, &err) == 0)
            return;
        if (attempt == SEND_ATTEMPTS ||
            err.reason == SB_REASON_PASSING) /* that was repeated already */
            break;
        pause_between(attempt);
        sb_error_clear(&err);
    }
    sb_cache_repository_fail(cache, &cache->to, &err);
}

/* ---- the queue ---- */

/* NULL at the end; lock is held. */
static struct sb_cache_job *next_job(struct sb_remote_cache *cache) {
    sb_assert_locked(&cache->lock);
    cache->idle++;
    while (!cache->first && !cache->finishing)
        pthread_cond_wait(&cache->changed, &cache->lock);
    cache->idle--;
    struct sb_cache_job *job = cache->first;
    if (job) {
        cache->first = job->next;
        if (!cache->first)
            cache->end = &cache->first;
    }
    return job;
}

static void *work(void *data) {
    struct sb_remote_cache *cache = data;
    pthread_mutex_lock(&cache->lock);
    for (struct sb_cache_job *job; (job = next_job(cache));) {
        pthread_mutex_unlock(&cache->lock);
        do_job(cache, job);
        free_job(job);
        pthread_mutex_lock(&cache->lock);
    }
    pthread_mutex_unlock(&cache->lock);
    return NULL;
}

/* One more thread when there is more to do than there are idle ones; lock is held. */
static void add_threads(struct sb_remote_cache *cache) {
    sb_assert_locked(&cache->lock);
    size_t waiting = 0, most = sizeof cache->threads / sizeof *cache->threads;
    for (const struct sb_cache_job *job = cache->first; job; job = job->next)
        waiting++;
    for (size_t idle = cache->idle; waiting > idle && cache->thread_count < most; idle++) {
        if (sb_thread_start(&cache->threads[cache->thread_count], work, cache) != 0)
            return; /* fewer do it, or sb_remote_cache_finish */
        cache->thread_count++;
    }
}

void sb_remote_cache_put(struct sb_remote_cache *cache, const struct sb_cache_key *key,
                         const char *recipe, const char *name, const struct sb_parts *parts,
                         double seconds, bool replace) {
    int64_t now = (int64_t)time(NULL);
    if (!cache || !cache->to.remote || !sb_cache_key_is_shareable(key) ||
        (!cache->options.replace && !replace &&
         sb_cache_shared_at(cache->options.store, key, cache->to.name) >
             now - SB_CACHE_RENEW_SECONDS))
        return;
    struct sb_cache_job *job = sb_alloc(sizeof *job);
    job->key = (struct sb_cache_key){.json = json_deep_copy(key->json), .digest = key->digest};
    job->replace = replace;
    job->record = (struct sb_cache_record){.key = key->digest,
                                           .recipe = sb_strdup(recipe),
                                           .name = sb_strdup(name),
                                           .seconds = seconds,
                                           .created = now};
    sb_parts_copy(&job->record.parts, parts);
    pthread_mutex_lock(&cache->lock);
    *cache->end = job;
    cache->end = &job->next;
    if (cache->started)
        add_threads(cache);
    pthread_cond_signal(&cache->changed);
    pthread_mutex_unlock(&cache->lock);
}

void sb_remote_cache_start(struct sb_remote_cache *cache) {
    if (!cache)
        return;
    pthread_mutex_lock(&cache->lock);
    cache->started = true;
    add_threads(cache);
    pthread_mutex_unlock(&cache->lock);
}

void sb_remote_cache_finish(struct sb_remote_cache *cache) {
    if (!cache)
        return;
    pthread_mutex_lock(&cache->lock);
    cache->finishing = true;
    add_threads(cache);
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->lock);
    work(cache); /* whatever the threads have not taken yet */
    for (size_t i = 0; i < cache->thread_count; i++)
        pthread_join(cache->threads[i], NULL);
    cache->thread_count = 0;
    cache->started = cache->finishing = false;
}

void sb_cache_jobs_free(struct sb_remote_cache *cache) {
    pthread_mutex_lock(&cache->lock);
    struct sb_cache_job *job = cache->first;
    cache->first = NULL;
    cache->end = &cache->first;
    cache->finishing = true;
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->lock);
    for (size_t i = 0; i < cache->thread_count; i++)
        pthread_join(cache->threads[i], NULL);
    while (job) {
        struct sb_cache_job *next = job->next;
        free_job(job);
        job = next;
    }
}
