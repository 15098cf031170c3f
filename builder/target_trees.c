/*
 * The trees that a layer's steps run on: fetched, unpacked and mended where they aren't here.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "builder/base_layers.h"
#include "builder/cache.h"
#include "builder/target.h"
#include "layers/mend.h"

/* A layer that a repository had a record of can't be had, or isn't what the record says: the build
 * begins again, and makes it here. What may work in a minute is left alone. */
static void reject(const struct sb_target *target, size_t layer, struct sb_error *err) {
    if (layer >= target->image.layer_count || err->code == SB_E_INTERRUPTED ||
        err->code == SB_E_IO || err->code == SB_E_NO_SPACE || err->os_errno == EAGAIN)
        return;
    const struct sb_digest *diff_id = &target->image.layers[layer].layer.diff_id;
    struct sb_build *build = target->build;
    for (; target; target = target->base)
        for (size_t i = target->base_count; i < target->next; i++) {
            const struct sb_layer_result *r = &target->results[i];
            if (!sb_digest_equal(&r->layer.diff_id, diff_id) ||
                !sb_cache_reject(build->store, &r->key))
                continue;
            sb_error_context(err, "a shared cache has a record of the layer %s that is wrong",
                             r->name);
            atomic_store(&build->rejected, true);
        }
}

/* It stays with what this process has in the store until its end: a few directories, if any. */
static int add_mend(struct sb_target *target, struct sb_strings *trees, struct sb_error *err) {
    static atomic_uint count;
    struct sb_store *store = target->build->store;
    const char *tmp = sb_store_tmp_path(store);
    if (!tmp)
        return sb_fail_errno(err, SB_E_IO, "making a temporary directory in %s",
                             sb_store_path(store));
    char *path = sb_format("%s/mend-%u", tmp, atomic_fetch_add(&count, 1));
    size_t layer_count = target->image.layer_count;
    sb_autofree const struct sb_layer **layers = sb_alloc((layer_count + 1) * sizeof *layers);
    for (size_t i = 0; i < layer_count; i++)
        layers[i] = &target->image.layers[i].layer;
    const struct sb_mend_stack what = {layers, (const char *const *)trees->v, layer_count, NULL};
    bool made = false;
    int failed = sb_mend_make(store, &what, path, &made, err);
    if (made && !failed)
        sb_strings_take(trees, sb_steal(path));
    free(path);
    return failed;
}

int sb_target_trees(struct sb_target *target, size_t result, struct sb_strings *out,
                    struct sb_error *err) {
    const struct sb_target *root = sb_target_root(target);
    struct sb_base_layers_missing missing =
        sb_base_layers_missing(target->build->store, &target->image);
    if (missing.count > 0) {
        sb_autofree char *text =
            sb_format("fetching %zu layer%s below, %s: its steps run on them", missing.count,
                      missing.count == 1 ? "" : "s", sb_text_size(missing.bytes).text);
        sb_target_notify(target, result, SB_EVENT_FETCH, text, strlen(text));
    }
    size_t bad;
    if (sb_base_layers_trees(target->build->store, &target->image, root->pinned, root->base_count,
                             out, &bad, err) < 0) {
        reject(target, bad, err);
        return -1;
    }
    return add_mend(target, out, err);
}
