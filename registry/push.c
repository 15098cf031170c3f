/*
 * One job for each blob and each tag (push_tagging.c), all on the same few threads.
 *
 * What is known to be in the repository (an origin of the blob says so, or it was accepted just
 * now) is not asked for: the registry itself refuses a manifest whose blobs it lacks, and then all
 * are asked for, and the manifest is put once more. So a push of one new layer onto a large image
 * costs the requests for that layer.
 */
#include "registry/push.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/jobs.h"
#include "base/json.h"
#include "base/memory.h"
#include "layers/convert.h"
#include "layers/descriptor.h"
#include "layers/origin.h"
#include "registry/ahead.h"
#include "registry/fetch.h"
#include "registry/push_private.h"

#define PARALLEL_DEFAULT 4
#define MOUNTS_TRIED     2
#define PUT_ATTEMPTS     5
#define TELL_EVERY       (1u << 20) /* bytes */
/* Sent without asking first, when nothing says that any registry has seen it: asking costs a round
 * trip, sending again what is there some milliseconds. */
#define SMALL (256u << 10)

struct blob {
    struct sb_pusher *pusher;
    struct sb_layer layer;     /* as it is in the store; of the config only the descriptor */
    struct sb_descriptor sent; /* as it goes */
    bool is_config;
    bool asked;             /* the registry has said that it is there */
    struct sb_ahead *ahead; /* its upload that began while it was packed, or NULL */
    uint64_t told;
};

struct sb_pusher {
    struct sb_registry *registry;
    struct sb_store *store;
    struct sb_push_options options;
    struct sb_fetch_watch watch;
    struct sb_remote *remote;
    char *host, *where; /* "host/repository" */
    struct sb_jobs *jobs;
    struct sb_aheads *aheads;
    struct sb_cancel *cancel; /* of blobs under way */
    bool tagging;             /* none are: what fails now is a tag */
    pthread_mutex_t lock;     /* guards all below */
    struct blob **blobs;
    size_t n, cap;
    bool trust; /* origins are believed */
    size_t uploaded, mounted;
    uint64_t sent;
    pthread_mutex_t prepare_lock;
    bool prepared;
};

/* One blob that can't be sent makes the others useless. A tag that is refused may be refused
 * because of a blob that is missing: that is not the end yet. */
static void job_failed(void *data) {
    struct sb_pusher *p = data;
    if (p->tagging)
        return;
    sb_cancel_set(p->cancel);
    sb_aheads_drop(p->aheads);
}

static int prepare(void *data, struct sb_error *err);

struct sb_pusher *sb_pusher_new(struct sb_registry *registry, struct sb_store *store,
                                const struct sb_reference *repository,
                                const struct sb_push_options *options) {
    struct sb_pusher *p = sb_alloc(sizeof *p);
    p->registry = registry;
    p->store = store;
    if (options)
        p->options = *options;
    p->watch = (struct sb_fetch_watch){p->options.notify, p->options.data, true};
    p->remote = sb_remote_open(registry, repository->host, repository->repository);
    sb_remote_will_push(p->remote);
    p->cancel = sb_cancel_new();
    sb_remote_set_cancel(p->remote, p->cancel);
    p->host = sb_strdup(repository->host);
    p->where = sb_reference_name(repository);
    p->jobs = sb_jobs_new(p->options.parallel > 0 ? p->options.parallel : PARALLEL_DEFAULT);
    sb_jobs_when_failed(p->jobs, job_failed, p);
    p->aheads = sb_aheads_new(p->remote, prepare, p);
    p->trust = true;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->prepare_lock, NULL);
    return p;
}

void sb_pusher_free(struct sb_pusher *p) {
    if (!p)
        return;
    sb_aheads_drop(p->aheads);
    sb_cancel_set(p->cancel);
    sb_jobs_free(p->jobs);
    sb_aheads_free(p->aheads);
    sb_remote_free(p->remote);
    sb_cancel_free(p->cancel);
    for (size_t i = 0; i < p->n; i++)
        free(p->blobs[i]);
    free(p->blobs);
    free(p->host);
    free(p->where);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->prepare_lock);
    free(p);
}

/* ---- one blob ---- */

static void tell(const struct blob *b, enum sb_transfer_state state, uint64_t bytes) {
    sb_fetch_tell(&b->pusher->watch, state, &b->sent, bytes, b->pusher->where);
}

static int prepare(void *data, struct sb_error *err) {
    struct sb_pusher *p = data;
    int rc = 0;
    struct sb_error own = {0}, ignored = {0};
    pthread_mutex_lock(&p->prepare_lock);
    if (!p->prepared)
        rc = sb_ecr_ensure_repository(p->registry, p->host, sb_remote_repository(p->remote),
                                      &p->options.ecr, &own);
    /* Who may not create one may push to one that a push creates. */
    if (rc < 0 && own.reason == SB_REASON_DENIED && sb_remote_may_push(p->remote, &ignored) == 0)
        rc = 0;
    if (rc < 0)
        *err = own;
    p->prepared = rc == 0;
    pthread_mutex_unlock(&p->prepare_lock);
    return rc;
}

static int convert(struct blob *b, struct sb_error *err) {
    struct sb_pusher *p = b->pusher;
    enum sb_compression wanted =
        sb_rewrite_compression(b->layer.descriptor.media_type, &p->options);
    struct sb_layer converted;
    b->sent = b->layer.descriptor;
    if (b->is_config || wanted == sb_layer_compression(b->layer.descriptor.media_type))
        return 0;
    if (!sb_layer_find_converted(p->store, &b->layer, wanted, &converted)) {
        tell(b, SB_TRANSFER_CONVERT, 0);
        if (sb_layer_convert(p->store, &b->layer, wanted, &converted, err) < 0)
            return -1;
        tell(b, SB_TRANSFER_CONVERTED, 0);
    }
    b->sent = converted.descriptor;
    return 0;
}

/* The repository of an origin that is on the same registry, but not this one; else NULL. */
static const char *mountable(const struct sb_pusher *p, const char *origin) {
    size_t n = strlen(p->host);
    return strcmp(origin, p->where) != 0 && !strncmp(origin, p->host, n) && origin[n] == '/'
               ? origin + n + 1
               : NULL;
}

/* 1: it is there now. 0: no; *session may be an upload that the registry has begun. */
static int mount(struct blob *b, const struct sb_strings *origins, char **session,
                 struct sb_error *err) {
    struct sb_pusher *p = b->pusher;
    int tried = 0;
    for (size_t i = 0; i < origins->n && tried < MOUNTS_TRIED; i++) {
        const char *from = mountable(p, origins->v[i]);
        if (!from)
            continue;
        if (tried++ == 0 && prepare(p, err) < 0)
            return -1;
        free(sb_steal(*session));
        int rc = sb_remote_blob_mount(p->remote, &b->sent.digest, from, session, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static void show_sent(void *data, uint64_t sent) {
    struct blob *b = data;
    if (sent < b->told || sent - b->told >= TELL_EVERY) {
        b->told = sent;
        tell(b, SB_TRANSFER_PROGRESS, sent);
    }
}

/* After a failure: was it the store's fault? */
static int explain(struct blob *b, int fd, struct sb_error *err) {
    struct sb_digest digest;
    struct sb_error own = {0};
    if (err->code == SB_E_INTERRUPTED || lseek(fd, 0, SEEK_SET) < 0 ||
        sb_digest_of_fd(fd, &digest, NULL, &own) < 0 || sb_digest_equal(&digest, &b->sent.digest))
        return -1;
    sb_error_clear(err);
    sb_fail(err, SB_E_INTEGRITY, "the blob %s in the store %s is damaged: its digest is %s",
            sb_digest_text(&b->sent.digest).text, sb_store_path(b->pusher->store),
            sb_digest_text(&digest).text);
    return sb_error_hint(err, "remove the file, then build or pull the image again");
}

static int upload(struct blob *b, const char *session, struct sb_error *err) {
    struct sb_pusher *p = b->pusher;
    if (sb_ecr_check_quotas(p->host, &b->sent, 1, 0, err) < 0 || prepare(p, err) < 0 ||
        sb_blob_need(p->store, &b->sent, err) < 0)
        return -1;
    sb_autoclose int fd = sb_blob_open(p->store, &b->sent.digest, b->sent.size, err);
    if (fd < 0)
        return -1;
    struct sb_error own = {0};
    struct sb_remote_upload it = {.blob = b->sent,
                                  .fd = fd,
                                  .session = session,
                                  .unverified = true,
                                  .progress = show_sent,
                                  .data = b};
    tell(b, SB_TRANSFER_START, 0);
    struct sb_ahead *ahead = sb_steal(b->ahead); /* if it is asked for again, it was lost */
    bool sent = ahead && sb_ahead_finish(ahead, &b->sent, fd, show_sent, b) == 0;
    if (!sent && sb_remote_blob_put(p->remote, &it, &own) < 0) {
        explain(b, fd, &own);
        if (err)
            *err = own;
        return -1;
    }
    pthread_mutex_lock(&p->lock);
    p->uploaded++;
    p->sent += b->sent.size;
    pthread_mutex_unlock(&p->lock);
    tell(b, SB_TRANSFER_DONE, b->sent.size);
    return 0;
}

/* What was sent of it already is in vain, when it goes otherwise or not at all. */
static void drop_ahead(struct blob *b) {
    if (b->ahead)
        sb_ahead_drop(sb_steal(b->ahead));
}

static bool trusts(struct sb_pusher *p) {
    pthread_mutex_lock(&p->lock);
    bool trust = p->trust;
    pthread_mutex_unlock(&p->lock);
    return trust;
}

static bool believes(const struct blob *b, const struct sb_strings *origins) {
    struct sb_pusher *p = b->pusher;
    return trusts(p) && sb_strings_has(origins, p->where);
}

static int ask(struct blob *b, struct sb_error *err) {
    int there = sb_remote_blob_head(b->pusher->remote, &b->sent, err);
    b->asked = there > 0;
    if (there > 0)
        tell(b, SB_TRANSFER_EXISTS, 0);
    return there;
}

/* 1: the repository has it, and nothing was sent. */
static int find_there(struct blob *b, const struct sb_strings *origins, char **session,
                      struct sb_error *err) {
    struct sb_pusher *p = b->pusher;
    bool trust = trusts(p);
    /* A config is smaller than the question whether it is there. */
    bool fresh = b->is_config || (origins->n == 0 && b->sent.size <= SMALL);
    int there = trust ? 0 : ask(b, err);
    if (there != 0)
        return there;
    there = mount(b, origins, session, err);
    if (there == 0)
        return trust && !fresh ? ask(b, err) : 0;
    if (there > 0) {
        b->asked = true;
        pthread_mutex_lock(&p->lock);
        p->mounted++;
        pthread_mutex_unlock(&p->lock);
        tell(b, SB_TRANSFER_MOUNTED, 0);
    }
    return there;
}

/* Asks, mounts, or uploads. */
static int bring(struct blob *b, struct sb_error *err) {
    struct sb_pusher *p = b->pusher;
    sb_autostrings struct sb_strings origins = {0};
    sb_autofree char *session = NULL;
    if (sb_blob_origins(p->store, &b->sent.digest, &origins, err) < 0)
        return -1;
    if (believes(b, &origins)) {
        drop_ahead(b);
        tell(b, SB_TRANSFER_EXISTS, 0);
        return 0;
    }
    int there = find_there(b, &origins, &session, err);
    if (there > 0)
        drop_ahead(b);
    if (there < 0 || (there == 0 && upload(b, session, err) < 0))
        return -1;
    return sb_blob_add_origin(p->store, &b->sent.digest, p->where, err);
}

/* Of several images with a layer in common, that are pushed to one registry at once, one sends it,
 * and the others mount it then. */
static int send_blob(void *data, struct sb_error *err) {
    struct blob *b = data;
    struct sb_pusher *p = b->pusher;
    if (convert(b, err) < 0)
        return -1;
    sb_autofree char *claim = sb_format("%s %s", p->host, sb_digest_text(&b->sent.digest).text);
    if (sb_registry_claim(p->registry, claim, p->cancel, err) < 0)
        return -1;
    int rc = bring(b, err);
    sb_registry_unclaim(p->registry, claim);
    return rc;
}

/* ---- adding ---- */

/* ahead, which may be NULL, is the layer's upload so far. */
static void add(struct sb_pusher *p, const struct sb_layer *layer, bool is_config,
                struct sb_ahead *ahead) {
    pthread_mutex_lock(&p->lock);
    bool known = false;
    for (size_t i = 0; i < p->n && !known; i++)
        known = sb_digest_equal(&p->blobs[i]->layer.descriptor.digest, &layer->descriptor.digest);
    if (!known) {
        struct blob *b = sb_alloc(sizeof *b);
        *b = (struct blob){.pusher = p, .layer = *layer, .is_config = is_config, .ahead = ahead};
        SB_GROW(p->blobs, p->n, p->cap);
        p->blobs[p->n++] = b;
        sb_jobs_add(p->jobs, send_blob, b);
    } else if (ahead) {
        sb_ahead_drop(ahead);
    }
    pthread_mutex_unlock(&p->lock);
}

int sb_pusher_check(struct sb_pusher *p, struct sb_error *err) {
    if (prepare(p, err) < 0 || sb_remote_may_push(p->remote, err) < 0)
        return sb_registry_failed(err);
    return 0;
}

/* ---- while they are packed ---- */

void sb_pusher_grow(struct sb_pusher *p, size_t id, const char *media_type, int fd, uint64_t size) {
    if (sb_rewrite_compression(media_type, &p->options) == sb_layer_compression(media_type))
        sb_aheads_grow(p->aheads, id, fd, size);
}

void sb_pusher_add(struct sb_pusher *p, size_t id, const struct sb_layer *layer) {
    add(p, layer, false, sb_aheads_take(p->aheads, id));
}

/* The registry missed a blob: whatever was not asked for is asked for now; or all, once more. */
static void distrust(struct sb_pusher *p, bool all) {
    pthread_mutex_lock(&p->lock);
    p->trust = false;
    for (size_t i = 0; i < p->n; i++)
        if (all || !p->blobs[i]->asked)
            sb_jobs_add(p->jobs, send_blob, p->blobs[i]);
    pthread_mutex_unlock(&p->lock);
}

/* Whether the registry may turn out to miss something. */
static bool trusts_any(const struct sb_pusher *p) {
    bool any = false;
    for (size_t i = 0; i < p->n; i++)
        any = any || !p->blobs[i]->asked;
    return any && p->trust;
}

/* ---- the manifest ---- */

/* Asks for the blobs, and sends what is missing. 1: putting the manifest again may help; else the
 * error stands. */
static int mend(struct sb_pusher *p, int attempt, struct sb_error *err) {
    /* Registries have been seen to lose sight of a blob for a moment while others upload it too. */
    bool blob_unknown = err->reason == SB_REASON_MISSING;
    if (err->code == SB_E_INTERRUPTED || err->code == SB_E_INTEGRITY || attempt == PUT_ATTEMPTS ||
        (!blob_unknown && !trusts_any(p)))
        return -1;
    struct sb_error first = *err;
    size_t before = p->uploaded + p->mounted;
    sb_jobs_recover(p->jobs);
    sb_error_clear(err);
    if (attempt > 1 && sb_remote_pause(p->remote, (uint64_t)attempt * 100, err) < 0)
        return -1;
    distrust(p, attempt > 1);
    if (sb_jobs_wait(p->jobs, err) == 0 && (blob_unknown || p->uploaded + p->mounted > before))
        return 1;
    if (err->code != SB_E_INTERRUPTED)
        *err = first; /* nothing was missing: it was something else */
    return -1;
}

static int put_tags(struct sb_pusher *p, struct sb_tagging *tags, struct sb_error *err) {
    for (int attempt = 1;; attempt++) {
        p->tagging = true;
        int rc = sb_tagging_put(tags, err);
        p->tagging = false;
        if (rc == 0)
            return 0;
        if (mend(p, attempt, err) < 0)
            return -1;
        sb_error_clear(err);
    }
}

/* ---- the whole image ---- */

/* A layer that may not be distributed is not, as long as it can be had elsewhere; one that is
 * compressed anew is another. */
static bool stays_elsewhere(const struct sb_pusher *p, const struct sb_image_layer *layer) {
    const char *type = layer->layer.descriptor.media_type;
    return sb_media_foreign(type) && layer->urls &&
           sb_rewrite_compression(type, &p->options) == sb_layer_compression(type);
}

static void add_all(struct sb_pusher *p, const struct sb_image *image) {
    for (size_t i = 0; i < image->layer_count; i++)
        if (!stays_elsewhere(p, &image->layers[i]))
            add(p, &image->layers[i].layer, false, NULL);
    const struct sb_layer config = {.descriptor = image->config_descriptor};
    add(p, &config, true, NULL);
}

/* Everything is there when the tags are: nothing else has to be looked at. */
static int look_first(struct sb_pusher *p, struct sb_tagging *tags, bool *out_same,
                      struct sb_error *err) {
    p->tagging = true;
    int rc = sb_tagging_look(tags, out_same, err);
    p->tagging = false;
    return rc;
}

static int push(struct sb_pusher *p, const struct sb_image *image, struct sb_rewritten *document,
                struct sb_tagging *tags, struct sb_push_result *out, struct sb_error *err) {
    int known = sb_rewrite(p->store, &p->options, image, document, err);
    if (known < 0)
        return -1;
    bool look = known && p->n == 0;
    if (look && look_first(p, tags, &out->unchanged, err) < 0)
        return -1;
    if (out->unchanged)
        return 0;
    add_all(p, image);
    if (!look)
        sb_tagging_start_look(tags);
    if (sb_jobs_wait(p->jobs, err) < 0)
        return -1;
    if (!known && sb_rewrite(p->store, &p->options, image, document, err) < 1)
        return err->code ? -1 : sb_fail(err, SB_E_FAILED, "a converted layer was removed");
    return put_tags(p, tags, err);
}

/* Before hours of uploading; layers that are compressed anew are looked at once they are. */
static int check_quotas(const struct sb_pusher *p, const struct sb_image *image, size_t tag_count,
                        struct sb_error *err) {
    for (size_t i = 0; i < image->layer_count; i++)
        if (sb_ecr_check_quotas(p->host, &image->layers[i].layer.descriptor, 1, tag_count, err) < 0)
            return -1;
    return 0;
}

int sb_pusher_finish(struct sb_pusher *p, const struct sb_image *image,
                     const struct sb_push_tags *tags, struct sb_push_result *out,
                     struct sb_error *err) {
    struct sb_rewritten document = {0};
    struct sb_tagging tagging;
    *out = (struct sb_push_result){0};
    sb_autoplatform struct sb_platform platform;
    sb_tagging_init(&tagging, p->remote, p->jobs, p->where, &document, NULL, tags);
    tagging.platform = sb_platform_read(image->config, &platform) ? &platform : NULL;
    int rc = check_quotas(p, image, tagging.n, err);
    if (rc == 0)
        rc = push(p, image, &document, &tagging, out, err);
    out->manifest = document.descriptor;
    out->uploaded = p->uploaded;
    out->mounted = p->mounted;
    out->sent = p->sent;
    sb_tagging_result(&tagging, out);
    sb_tagging_free(&tagging);
    sb_buf_free(&document.bytes);
    return rc < 0 ? sb_registry_failed(err) : 0;
}

void sb_push_result_free(struct sb_push_result *result) {
    sb_strings_free(&result->tags);
    sb_strings_free(&result->overtaken);
    sb_strings_free(&result->kept);
    sb_strings_free(&result->kept_by);
    sb_strings_free(&result->beside);
    sb_strings_free(&result->dropped);
    sb_strings_free(&result->lost);
    sb_strings_free(&result->overtaken_platforms);
    free(result->adopted);
    free(result->replaced_platform);
    free(result->unlisted);
}
