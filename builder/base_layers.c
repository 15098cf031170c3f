#include "builder/base_layers.h"

#include <stdlib.h>

#include "base/jobs.h"
#include "base/memory.h"
#include "layers/mend.h"
#include "layers/origin.h"
#include "layers/trees.h"
#include "layers/unpack.h"

enum { AT_ONCE = 6 }; /* registries answer slowly: more than there are cores here */

struct job {
    struct sb_store *store;
    const struct sb_image *image;
    size_t index;
    const char *base; /* NULL: the layer is the recipes' own */
    char *tree;
    struct sb_contents *contents;
    bool failed;
};

static int name_layer(const struct job *job, struct sb_error *err) {
    const struct sb_image_layer *layer = &job->image->layers[job->index];
    const char *digest = sb_digest_text(&layer->layer.descriptor.digest).text;
    if (job->base)
        return sb_error_context(err, "the base %s: layer %zu (%.19s…)", job->base, job->index + 1,
                                digest);
    if (layer->name)
        return sb_error_context(err, "the layer %s (%.19s…)", layer->name, digest);
    return sb_error_context(err, "layer %zu (%.19s…)", job->index + 1, digest);
}

static int get_tree(void *data, struct sb_error *err) {
    struct job *job = data;
    if (sb_tree_get(job->store, &job->image->layers[job->index].layer, &job->tree, err) == 0)
        return 0;
    job->failed = true;
    return name_layer(job, err);
}

static int get_blob(void *data, struct sb_error *err) {
    struct job *job = data;
    const struct sb_layer *layer = &job->image->layers[job->index].layer;
    return sb_blob_need(job->store, &layer->descriptor, err) < 0 ? name_layer(job, err) : 0;
}

static int get_contents(void *data, struct sb_error *err) {
    struct job *job = data;
    if (sb_layer_contents(job->store, &job->image->layers[job->index].layer, &job->contents, err) <
        0)
        return name_layer(job, err);
    return 0;
}

static bool is_here(struct sb_store *store, const struct sb_layer *layer) {
    return sb_blob_has(store, &layer->descriptor.digest, layer->descriptor.size);
}

struct sb_base_layers_missing sb_base_layers_missing(struct sb_store *store,
                                                     const struct sb_image *image) {
    struct sb_base_layers_missing missing = {0};
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct sb_layer *layer = &image->layers[i].layer;
        if (sb_tree_has(store, &layer->diff_id) || is_here(store, layer))
            continue;
        missing.count++;
        missing.bytes += layer->descriptor.size;
    }
    return missing;
}

static bool is_listed(struct sb_store *store, const struct sb_layer *layer) {
    struct sb_contents *contents;
    if (sb_contents_open(store, &layer->diff_id, &contents, NULL) < 0)
        return false;
    sb_contents_close(contents);
    return true;
}

struct sb_base_layers_missing
sb_base_layers_absent(struct sb_store *store, const struct sb_image *image, bool only_unlisted) {
    struct sb_base_layers_missing absent = {0};
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct sb_layer *layer = &image->layers[i].layer;
        if (is_here(store, layer) || (only_unlisted && is_listed(store, layer)))
            continue;
        absent.count++;
        absent.bytes += layer->descriptor.size;
    }
    return absent;
}

/* In threads only when something has to come over the network. */
static int run_jobs(struct job *all, size_t count, bool at_once, sb_job *run,
                    struct sb_error *err) {
    int failed = 0;
    for (size_t i = 0; i < count && !at_once && !failed; i++)
        failed = run(&all[i], err);
    if (!at_once)
        return failed;
    struct sb_jobs *jobs = sb_jobs_new(AT_ONCE);
    for (size_t i = 0; i < count; i++)
        sb_jobs_add(jobs, run, &all[i]);
    failed = sb_jobs_wait(jobs, err);
    sb_jobs_free(jobs);
    return failed;
}

static struct job *make_jobs(struct sb_store *store, const struct sb_image *image, const char *base,
                             size_t base_count, size_t count) {
    struct job *all = sb_alloc((count + 1) * sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = (struct job){
            .store = store, .image = image, .index = i, .base = i < base_count ? base : NULL};
    return all;
}

int sb_base_layers_trees(struct sb_store *store, const struct sb_image *image, const char *base,
                         size_t base_count, struct sb_strings *out, size_t *out_failed,
                         struct sb_error *err) {
    size_t n = image->layer_count;
    sb_autofree struct job *all = make_jobs(store, image, base, base_count, n);
    bool at_once = sb_base_layers_missing(store, image).count > 1;
    int failed = run_jobs(all, n, at_once, get_tree, err);
    *out_failed = n;
    for (size_t i = 0; i < n; i++) {
        if (failed)
            free(all[i].tree);
        else
            sb_strings_take(out, all[i].tree);
        if (all[i].failed)
            *out_failed = i;
    }
    return failed;
}

int sb_base_layers_fetch(struct sb_store *store, const struct sb_image *image, bool only_unlisted,
                         struct sb_error *err) {
    size_t n = 0;
    sb_autofree struct job *all = make_jobs(store, image, NULL, 0, image->layer_count);
    for (size_t i = 0; i < image->layer_count; i++)
        if (!only_unlisted || !is_listed(store, &image->layers[i].layer))
            all[n++].index = i;
    return run_jobs(all, n, true, get_blob, err);
}

int sb_base_layers_contents(struct sb_store *store, const struct sb_image *image, const char *base,
                            size_t first, size_t count, struct sb_contents **out,
                            struct sb_error *err) {
    sb_autofree struct job *all = make_jobs(store, image, base, count, count);
    size_t missing = 0;
    for (size_t i = first; i < count; i++)
        missing += !is_here(store, &image->layers[i].layer);
    int failed = run_jobs(all + first, count - first, missing > 1, get_contents, err);
    for (size_t i = first; i < count; i++)
        if (failed)
            sb_contents_close(all[i].contents);
        else
            out[i] = all[i].contents;
    return failed;
}

bool sb_base_layers_told(struct sb_store *store, const struct sb_image *image, size_t first) {
    for (size_t i = first; i < image->layer_count; i++)
        if (!is_here(store, &image->layers[i].layer) && !is_listed(store, &image->layers[i].layer))
            return true;
    return false;
}

bool sb_base_layers_known_contents(struct sb_store *store, const struct sb_image *image,
                                   size_t count, struct sb_contents **out) {
    for (size_t i = 0; i < count; i++) {
        if (sb_contents_open(store, &image->layers[i].layer.diff_id, &out[i], NULL) == 0)
            continue;
        while (i-- > 0)
            sb_contents_close(out[i]);
        return false;
    }
    return true;
}

/* It stays with what this process has in the store until its end: a few directories, if any. */
int sb_base_layers_mend(struct sb_store *store, const struct sb_image *image,
                        struct sb_strings *trees, struct sb_error *err) {
    char *path = sb_store_tmp_new(store, "mend", err);
    if (!path)
        return -1;
    sb_autofree const struct sb_layer **layers =
        sb_alloc((image->layer_count + 1) * sizeof *layers);
    for (size_t i = 0; i < image->layer_count; i++)
        layers[i] = &image->layers[i].layer;
    const struct sb_mend_stack what = {layers, (const char *const *)trees->v, image->layer_count,
                                       NULL};
    bool made = false;
    int failed = sb_mend_make(store, &what, path, &made, err);
    if (made && !failed)
        sb_strings_take(trees, sb_steal(path));
    free(path);
    return failed;
}
