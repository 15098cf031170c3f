#include "registry/pull.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/jobs.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "layers/descriptor.h"
#include "layers/image_index.h"
#include "layers/origin.h"
#include "registry/artifact.h"
#include "registry/fetch.h"

#define INDEX_DEPTH_LIMIT 2
#define PARALLEL_DEFAULT  4
#define CALLBACKS_MAX     2 /* that run at once */

struct pull {
    struct sb_store *store;
    const struct sb_reference *reference;
    const struct sb_pull_options *options;
    struct sb_remote *remote;
    char *where; /* "host/repository" */
    struct sb_fetch_source source;
    struct sb_cancel *cancel;
};

/* ---- documents: manifests and indexes ---- */

static int check_kind(const struct sb_manifest *manifest, struct sb_error *err) {
    enum sb_media_kind kind = sb_media_kind(manifest->descriptor.media_type);
    if (kind == SB_MEDIA_KIND_MANIFEST || kind == SB_MEDIA_KIND_INDEX)
        return 0;
    return sb_fail(err, SB_E_INTEGRITY, "the registry answers with the type %s, which is no image",
                   sb_text_shown(manifest->media_type ? manifest->media_type : "").text);
}

/* What an index said about it must be so; its digest is verified already. */
static int check_expected(const struct sb_descriptor *is, const struct sb_descriptor *expected,
                          struct sb_error *err) {
    if (is->size != expected->size)
        return sb_fail(err, SB_E_INTEGRITY, "it has %llu bytes, and the index says %llu",
                       (unsigned long long)is->size, (unsigned long long)expected->size);
    if (!expected->media_type || strcmp(is->media_type, expected->media_type) != 0)
        return sb_fail(err, SB_E_INTEGRITY, "it is of the type %s, and the index says %s",
                       is->media_type, expected->media_type ? expected->media_type : "another");
    return 0;
}

static json_t *parse_document(const struct sb_buf *text, const struct sb_descriptor *descriptor,
                              struct sb_error *err) {
    sb_autojson json_t *document = sb_json_parse(sb_buf_text(text), text->len, err);
    if (document && !json_is_object(document))
        sb_fail(err, SB_E_INTEGRITY, "is not a JSON object");
    if (!json_is_object(document) || sb_manifest_check(document, descriptor, err) < 0) {
        sb_error_context(err, "%s", sb_digest_text(&descriptor->digest).text);
        return NULL;
    }
    return sb_steal(document);
}

/* expected: what an index refers to, NULL for what the user named. */
static json_t *fetch_document(struct pull *p, const char *reference,
                              const struct sb_descriptor *expected, struct sb_descriptor *out,
                              struct sb_error *err) {
    struct sb_manifest manifest = {0};
    json_t *document = NULL;
    bool is_tag = strncmp(reference, "sha256:", strlen("sha256:")) != 0;
    int got = is_tag && p->options->tag_own
                  ? sb_remote_manifest_get_own(p->remote, reference, &manifest, err)
                  : sb_remote_manifest_get(p->remote, reference, &manifest, err);
    if (got == 0) {
        *out = manifest.descriptor;
        if (check_kind(&manifest, err) < 0 || (expected && check_expected(out, expected, err) < 0))
            sb_error_context(err, "%s: the manifest %s", p->where, reference);
        else if (!(document = parse_document(&manifest.bytes, out, err)))
            sb_error_context(err, "%s", p->where);
    }
    if (document && sb_blob_put(p->store, manifest.bytes.data, manifest.bytes.len, NULL, err) < 0) {
        json_decref(document);
        document = NULL;
    }
    sb_manifest_free(&manifest);
    return document;
}

/* From the store where it is there: nobody has to be asked for what is known by its digest. */
static json_t *need_document(struct pull *p, const struct sb_descriptor *expected,
                             struct sb_descriptor *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_blob_has(p->store, &expected->digest, expected->size) &&
        sb_blob_read(p->store, expected, SB_MANIFEST_LIMIT, &text, NULL) == 0) {
        *out = *expected;
        return parse_document(&text, out, err);
    }
    return fetch_document(p, sb_digest_text(&expected->digest).text, expected, out, err);
}

/* ---- which image ---- */

/* What the reference names. */
static json_t *find_named(struct pull *p, struct sb_descriptor *out, bool *out_absent,
                          struct sb_error *err) {
    const struct sb_reference *r = p->reference;
    const char *tag = r->tag ? r->tag : "latest";
    struct sb_digest_text digest = sb_digest_text(&r->digest);
    struct sb_error own = {0}, unknown = {0};
    struct sb_descriptor known;
    if (r->has_digest && sb_store_resolve(p->store, digest.text, &known, &unknown) == 0)
        return need_document(p, &known, out, err);
    json_t *document = fetch_document(p, r->has_digest ? digest.text : tag, NULL, out, &own);
    *out_absent = !document && own.code == SB_E_NOT_FOUND;
    if (!document && err)
        *err = own;
    return document;
}

/* The manifest behind what was named, which is dropped; indexes are followed, not far. */
static json_t *find_manifest(struct pull *p, json_t *named, struct sb_pulled *out,
                             struct sb_error *err) {
    sb_autojson json_t *document = named;
    out->image = out->named;
    for (int depth = 0; document; depth++) {
        if (sb_media_kind(out->image.media_type) == SB_MEDIA_KIND_MANIFEST)
            return sb_steal(document);
        struct sb_descriptor chosen;
        if (depth == INDEX_DEPTH_LIMIT) {
            sb_fail(err, SB_E_INTEGRITY, "%s: more than %d indexes in one another", p->where,
                    INDEX_DEPTH_LIMIT);
            return NULL;
        }
        if (sb_platform_choose(json_object_get(document, "manifests"), p->options->platform,
                               &chosen, err) < 0) {
            sb_error_context(err, "%s", p->where);
            return NULL;
        }
        json_decref(document);
        document = need_document(p, &chosen, &out->image, err);
    }
    return NULL;
}

static int need_config(struct pull *p, const json_t *manifest, struct sb_error *err) {
    struct sb_descriptor config;
    const json_t *value = json_object_get(manifest, "config");
    if (sb_descriptor_parse(value, &config, err) < 0)
        return sb_error_context(err, "config");
    if (sb_media_kind(config.media_type) != SB_MEDIA_KIND_CONFIG)
        return sb_fail(err, SB_E_FAILED, "is an artifact of the type %s, not an image",
                       sb_text_shown(sb_json_string(value, "mediaType", "")).text);
    if (config.size > SB_CONFIG_LIMIT)
        return sb_fail(err, SB_E_INTEGRITY, "its config has %llu bytes, at most %u are allowed",
                       (unsigned long long)config.size, SB_CONFIG_LIMIT);
    if (sb_blob_has(p->store, &config.digest, config.size))
        return 0;
    sb_autobuf struct sb_buf text = {0};
    if (sb_remote_blob_read(p->remote, &config, SB_CONFIG_LIMIT, &text, err) < 0)
        return -1;
    return sb_blob_put(p->store, sb_buf_text(&text), text.len, NULL, err);
}

/* What no index was asked for says in its config what it is for. */
static int check_platform(struct pull *p, const struct sb_pulled *pulled,
                          const struct sb_image *image, struct sb_error *err) {
    const struct sb_platform *wanted = p->options->platform;
    const char *architecture = sb_json_string(image->config, "architecture", "");
    if (!wanted || !sb_digest_equal(&pulled->named.digest, &pulled->image.digest) ||
        sb_platform_fits(wanted, architecture))
        return 0;
    return sb_fail(err, SB_E_FAILED, "is made for linux/%.40s, not for %s/%s", architecture,
                   wanted->os, wanted->architecture);
}

/* ---- layers ---- */

struct layer_job {
    struct pull *pull;
    const struct sb_layer *layer;
    struct sb_jobs *jobs; /* the one of this number fetches it */
    size_t number;
    struct sb_jobs *callbacks;
    bool told; /* there is a callback job; the fetching thread's */
    atomic_bool here;
};

static int tell_layer(void *data, struct sb_error *err) {
    struct layer_job *job = data;
    const struct sb_pull_options *o = job->pull->options;
    struct sb_error ignored = {0};
    if (!atomic_load(&job->here) && o->layer(o->data, job->layer, true, &ignored) == 0)
        return sb_jobs_wait_for(job->jobs, job->number, err);
    if (sb_jobs_wait_for(job->jobs, job->number, err) < 0)
        return -1;
    return o->layer(o->data, job->layer, false, err);
}

/* Called by the thread that fetches it: when the first byte is about to come, and at the end. */
static void begin_callback(struct layer_job *job) {
    if (job->pull->options->layer && !job->told)
        sb_jobs_add(job->callbacks, tell_layer, job);
    job->told = true;
}

static void on_transfer(void *data, const struct sb_transfer_event *event) {
    struct layer_job *job = data;
    const struct sb_pull_options *o = job->pull->options;
    if (event->state == SB_TRANSFER_START)
        begin_callback(job);
    if (o->notify)
        o->notify(o->data, event);
}

static int fetch_layer(void *data, struct sb_error *err) {
    struct layer_job *job = data;
    struct pull *p = job->pull;
    const struct sb_descriptor *blob = &job->layer->descriptor;
    struct sb_fetch_source origins = p->source;
    origins.watch.notify = on_transfer;
    origins.watch.data = job;
    const struct sb_blob_source source = {sb_fetch_from_origins, &origins};
    bool fetched;
    if (sb_blob_need_from(p->store, blob, &source, &fetched, err) < 0)
        return -1;
    if (!fetched)
        sb_fetch_tell(&p->source.watch, SB_TRANSFER_EXISTS, blob, 0, p->where);
    atomic_store(&job->here, true);
    begin_callback(job);
    return 0;
}

static void cancel(void *data) {
    sb_cancel_set(data);
}

/* What fails first ends what is being fetched beside it. When that was a callback, its error is the
 * one that counts. */
static int wait_for_callbacks(struct sb_jobs *callbacks, int rc, struct sb_error *err) {
    struct sb_error own = {0};
    if ((rc < 0 && err->code != SB_E_INTERRUPTED) || sb_jobs_wait(callbacks, &own) == 0)
        return rc;
    *err = own;
    return -1;
}

static int fetch_layers(struct pull *p, const struct sb_image *image, struct sb_error *err) {
    const struct sb_pull_options *o = p->options;
    size_t n = image->layer_count;
    sb_autofree struct layer_job *list = sb_alloc((n + 1) * sizeof *list);
    struct sb_jobs *jobs = sb_jobs_new(o->parallel > 0 ? o->parallel : PARALLEL_DEFAULT);
    struct sb_jobs *callbacks = sb_jobs_new(CALLBACKS_MAX);
    sb_jobs_when_failed(jobs, cancel, p->cancel);
    sb_jobs_when_failed(callbacks, cancel, p->cancel);
    for (size_t i = 0; i < n; i++) {
        list[i] = (struct layer_job){.pull = p,
                                     .layer = &image->layers[i].layer,
                                     .jobs = jobs,
                                     .number = i,
                                     .callbacks = callbacks};
        sb_jobs_add(jobs, fetch_layer, &list[i]);
    }
    int rc = sb_jobs_wait(jobs, err);
    rc = wait_for_callbacks(callbacks, rc, err);
    sb_jobs_free(callbacks);
    sb_jobs_free(jobs);
    return rc;
}

/* Where its descriptor says that it is as well. What is no https: URL is not asked. */
static int add_urls(struct pull *p, const struct sb_image_layer *layer, struct sb_error *err) {
    for (size_t i = json_array_size(layer->urls); i-- > 0;) {
        sb_autofree char *name =
            sb_origin_url(p->where, json_string_value(json_array_get(layer->urls, i)));
        if (name && sb_blob_add_origin(p->store, &layer->layer.descriptor.digest, name, err) < 0)
            return -1;
    }
    return 0;
}

static int add_origins(struct pull *p, const struct sb_image *image, struct sb_error *err) {
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct sb_image_layer *layer = &image->layers[i];
        if (add_urls(p, layer, err) < 0 ||
            sb_blob_add_origin(p->store, &layer->layer.descriptor.digest, p->where, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- the whole ---- */

static int tag(struct pull *p, const struct sb_descriptor *image, struct sb_error *err) {
    const struct sb_reference *r = p->reference;
    if (p->options->untagged || (!r->tag && r->has_digest))
        return 0;
    sb_autostrings struct sb_strings names = {0};
    sb_strings_addf(&names, "%s:%s", p->where, r->tag ? r->tag : "latest");
    struct sb_descriptor there;
    if (!sb_store_name_valid(names.v[0]) ||
        (p->options->keep_tag && sb_store_resolve(p->store, names.v[0], &there, NULL) == 0))
        return 0;
    return sb_store_tag(p->store, &names, image, err);
}

/* Config and layers of an image whose manifest is here. pulled is checked against the platform
 * that was asked for; NULL: it need not be. */
static int bring(struct pull *p, const struct sb_descriptor *descriptor, const json_t *manifest,
                 const struct sb_pulled *pulled, struct sb_error *err) {
    struct sb_image image = {0};
    int rc = need_config(p, manifest, err);
    if (rc == 0)
        rc = sb_image_load(p->store, descriptor, &image, err);
    if (rc == 0 && pulled)
        rc = check_platform(p, pulled, &image, err);
    if (rc < 0) {
        sb_error_context(err, "%s", p->where);
        sb_image_free(&image);
        return sb_registry_failed(err);
    }
    rc = add_origins(p, &image, err);
    if (rc == 0 && !p->options->lazy)
        rc = fetch_layers(p, &image, err);
    sb_image_free(&image);
    return rc;
}

static int bring_entry(struct pull *p, const struct sb_index_entry *entry, struct sb_error *err) {
    struct sb_descriptor descriptor;
    sb_autojson json_t *manifest = need_document(p, &entry->descriptor, &descriptor, err);
    if (!manifest)
        return sb_registry_failed(err);
    return bring(p, &descriptor, manifest, NULL, err);
}

/* Of what is no image for Linux, attestations and the like; the rest stays where it is. */
static int bring_other(struct pull *p, const struct sb_index_entry *entry, struct sb_error *err) {
    if (p->options->lazy || entry->platform.os)
        return 0;
    if (sb_artifact_pull(p->remote, p->store, &entry->descriptor, err) >= 0)
        return 0;
    sb_error_context(err, "%s", p->where);
    return sb_registry_failed(err);
}

/* All images for Linux, and what is said of them. */
static int bring_index(struct pull *p, struct sb_pulled *out, struct sb_error *err) {
    struct sb_image_index index;
    if (sb_image_index_load(p->store, &out->named, &index, err) < 0)
        return sb_error_context(err, "%s", p->where);
    int rc = 0;
    for (size_t i = 0; i < index.n && rc == 0; i++) {
        bool image = sb_index_entry_is_image(&index.v[i]);
        out->images += image;
        rc = image ? bring_entry(p, &index.v[i], err) : bring_other(p, &index.v[i], err);
    }
    if (rc == 0 && out->images == 0) {
        sb_fail(err, SB_E_NOT_FOUND, "%s: the index has no image for Linux", p->where);
        rc = sb_registry_failed(err);
    }
    out->image = out->named;
    sb_image_index_free(&index);
    return rc;
}

static int pull_image(struct pull *p, struct sb_pulled *out, struct sb_error *err) {
    json_t *named = find_named(p, &out->named, &out->absent, err);
    if (!named)
        return sb_registry_failed(err);
    int rc;
    if (p->options->all_platforms && sb_media_kind(out->named.media_type) == SB_MEDIA_KIND_INDEX) {
        json_decref(named);
        rc = bring_index(p, out, err);
    } else {
        sb_autojson json_t *manifest = find_manifest(p, named, out, err);
        out->images = 1;
        rc = manifest ? bring(p, &out->image, manifest, out, err) : sb_registry_failed(err);
    }
    return rc == 0 ? tag(p, &out->image, err) : -1;
}

int sb_pull_image(struct sb_registry *registry, struct sb_store *store,
                  const struct sb_reference *reference, const struct sb_pull_options *options,
                  struct sb_pulled *out, struct sb_error *err) {
    static const struct sb_pull_options defaults;
    *out = (struct sb_pulled){0};
    struct pull pull = {.store = store,
                        .reference = reference,
                        .options = options ? options : &defaults,
                        .source = {.registry = registry}};
    pull.source.watch =
        (struct sb_fetch_watch){.notify = pull.options->notify, .data = pull.options->data};
    pull.where = sb_reference_name(reference);
    pull.remote = sb_remote_open(registry, reference->host, reference->repository);
    pull.source.cancel = pull.cancel = sb_cancel_new();
    int rc = pull_image(&pull, out, err);
    sb_remote_free(pull.remote);
    sb_cancel_free(pull.cancel);
    free(pull.where);
    return rc;
}

/* ---- on demand ---- */

static int fetch_on_demand(void *data, struct sb_store *store, const struct sb_descriptor *blob,
                           const struct sb_strings *origins, struct sb_error *err) {
    const struct sb_pull_source *from = data;
    struct sb_fetch_source source = {.registry = from->registry,
                                     .watch = {.notify = from->notify, .data = from->data}};
    return sb_fetch_from_origins(&source, store, blob, origins, err);
}

void sb_pull_install_source(struct sb_pull_source *from, struct sb_store *store) {
    const struct sb_blob_source source = {fetch_on_demand, from};
    sb_store_set_source(store, &source);
}
