#include "deploy/node/trees.h"

#include <stdlib.h>

#include "base/jobs.h"
#include "base/memory.h"
#include "layers/collect.h"
#include "layers/trees.h"

#define PARALLEL 4 /* layers fetched and unpacked at once */

/* ---- which trees may be like it ---- */

/* Descriptions of generations, the likeliest first. */
struct older {
    struct sb_description *v;
    size_t n, cap;
};

static void add_generation(const struct sb_node_service *service, uint64_t number,
                           struct older *out) {
    struct sb_description d;
    if (sb_generation_description(service, number, &d, NULL) < 0)
        return;
    if (d.root != SB_ROOT_LAYERS) {
        sb_description_free(&d);
        return;
    }
    SB_GROW(out->v, out->n, out->cap);
    out->v[out->n++] = d;
}

/* The current one, then the others from the newest back. What can't be read is passed over: the
 * layers are unpacked without it as well. */
static void find_older(const struct sb_node_service *service, uint64_t current, struct older *out) {
    struct sb_generation_list list;
    if (current)
        add_generation(service, current, out);
    if (sb_generations(service, &list, NULL) < 0)
        return;
    for (size_t i = list.n; i-- > 0;)
        if (list.v[i].number != current)
            add_generation(service, list.v[i].number, out);
    sb_generation_list_free(&list);
}

static void older_free(struct older *older) {
    for (size_t i = 0; i < older->n; i++)
        sb_description_free(&older->v[i]);
    free(older->v);
}

static bool has_layer(const struct sb_description *d, const struct sb_digest *diff_id) {
    for (size_t i = 0; i < d->layer_count; i++)
        if (sb_digest_equal(&d->layers[i].layer.diff_id, diff_id))
            return true;
    return false;
}

static void add(struct sb_tree_older *out, const struct sb_description *d,
                const struct sb_digest *diff_id) {
    if (out->n == SB_REUSE_TREES || has_layer(d, diff_id))
        return;
    for (size_t i = 0; i < out->n; i++)
        if (sb_digest_equal(&out->v[i], diff_id))
            return;
    out->v[out->n++] = *diff_id;
}

/* Layers that this release no longer has: those in the same position of all generations, then
 * those further and further away from it. */
static void choose(const struct sb_description *d, size_t position, const struct older *older,
                   struct sb_tree_older *out) {
    out->n = 0;
    for (size_t distance = 0; distance < SB_LAYER_LIMIT; distance++)
        for (size_t i = 0; i < older->n; i++) {
            const struct sb_description *o = &older->v[i];
            if (position + distance < o->layer_count)
                add(out, d, &o->layers[position + distance].layer.diff_id);
            if (distance > 0 && distance <= position && position - distance < o->layer_count)
                add(out, d, &o->layers[position - distance].layer.diff_id);
        }
}

/* ---- getting them ---- */

struct job {
    struct sb_store *store;
    const struct sb_layer *layer;
    struct sb_tree_older older;
};

static int get(void *data, struct sb_error *err) {
    struct job *job = data;
    sb_autofree char *path = NULL;
    return sb_tree_get_like(job->store, job->layer, &job->older, &path, err);
}

static int get_all(struct job *list, size_t n, struct sb_reused *out, struct sb_error *err) {
    struct sb_jobs *jobs = sb_jobs_new(PARALLEL);
    for (size_t i = 0; i < n; i++)
        sb_jobs_add(jobs, get, &list[i]);
    int rc = sb_jobs_wait(jobs, err);
    sb_jobs_free(jobs);
    for (size_t i = 0; i < n && rc == 0; i++) {
        out->files += list[i].older.reused.files;
        out->bytes += list[i].older.reused.bytes;
    }
    return rc;
}

int sb_node_trees_get(const struct sb_node_service *service, const struct sb_description *d,
                      uint64_t current, struct sb_reused *out, struct sb_error *err) {
    size_t n = d->layer_count;
    sb_autofree struct job *list = sb_alloc((n + 1) * sizeof *list);
    sb_autofree struct sb_digest *ids = sb_alloc((n + 1) * sizeof *ids);
    struct older older = {0};
    *out = (struct sb_reused){0};
    if (d->root == SB_ROOT_HOST)
        return 0;
    find_older(service, current, &older);
    for (size_t i = 0; i < n; i++) {
        list[i] = (struct job){.store = service->node->store, .layer = &d->layers[i].layer};
        ids[i] = list[i].layer->diff_id;
        choose(d, i, &older, &list[i].older);
    }
    int rc = get_all(list, n, out, err);
    older_free(&older);
    return rc < 0 ? rc : sb_trees_settle(service->node->store, ids, n, err);
}

/* ---- what they came in ---- */

void sb_node_blobs_drop(const struct sb_node *node, const struct sb_description *d) {
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    struct sb_collect_report report;
    struct sb_error why = {0};
    sb_autostrings struct sb_strings blobs = {0};
    if (d->root == SB_ROOT_HOST)
        return;
    for (size_t i = 0; i < d->layer_count; i++)
        sb_strings_take(&blobs, sb_blob_path(&d->layers[i].layer.descriptor.digest));
    options.only = &blobs;
    options.keep_tagged = true;
    if (sb_store_collect(node->store, &options, &report, &why) < 0)
        sb_node_say(node, "packed layers stay in the store until the next sbuild prune: %s",
                    why.message);
    sb_collect_report_free(&report);
}
