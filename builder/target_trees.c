/*
 * The trees that a layer's steps run on: fetched, unpacked and mended where they aren't here.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "builder/base_layers.h"
#include "builder/cache.h"
#include "builder/target.h"

/* What may work in a minute is left alone. */
void sb_target_reject(const struct sb_target *target, size_t layer, struct sb_error *err) {
    if (layer >= target->image.layer_count || err->code == SB_E_INTERRUPTED ||
        err->code == SB_E_IO || err->code == SB_E_NO_SPACE || err->reason == SB_REASON_PASSING)
        return;
    const struct sb_digest *diff_id = &target->image.layers[layer].layer.diff_id;
    struct sb_workshop *shop = target->shop;
    for (; target; target = target->base)
        for (size_t i = target->base_count; i < target->next; i++) {
            const struct sb_layer_result *r = &target->results[i];
            if (!sb_parts_have(&r->parts, diff_id) || !sb_cache_reject(shop->store, &r->key))
                continue;
            sb_error_context(err, "a shared cache has a record of the layer %s that is wrong",
                             r->name);
            atomic_store(&shop->rejected, true);
        }
}

int sb_target_trees(struct sb_target *target, size_t result, struct sb_strings *out,
                    struct sb_error *err) {
    const struct sb_target *root = sb_target_root(target);
    struct sb_base_layers_missing missing =
        sb_base_layers_missing(target->shop->store, &target->image);
    if (missing.count > 0) {
        sb_autofree char *text =
            sb_format("fetching %zu layer%s below, %s: its steps run on them", missing.count,
                      missing.count == 1 ? "" : "s", sb_text_size(missing.bytes).text);
        sb_target_notify(target, result, SB_EVENT_FETCH, text, strlen(text));
    }
    size_t bad;
    if (sb_base_layers_trees(target->shop->store, &target->image, root->pinned, root->base_count,
                             out, &bad, err) < 0) {
        sb_target_reject(target, bad, err);
        return -1;
    }
    return sb_base_layers_mend(target->shop->store, &target->image, out, err);
}
