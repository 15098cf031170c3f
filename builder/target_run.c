/*
 * One layer's steps, run; and what is kept of one that failed.
 */
#include <stdlib.h>

#include "base/memory.h"
#include "builder/failed.h"
#include "builder/layer_build.h"
#include "builder/target.h"

struct output {
    struct sb_target *target;
    size_t result;
};

static void forward_output(void *data, const char *text, size_t len) {
    struct output *o = data;
    sb_target_notify(o->target, o->result, SB_EVENT_LAYER_OUTPUT, text, len);
}

static void forward_warning(void *data, const char *text) {
    struct output *o = data;
    sb_workshop_warn(o->target->shop, "layer %s: %s", o->target->results[o->result].name, text);
}

/* The layer below may still be packed: it is the image's before its root is kept. What can't be
 * kept is no further error. */
static void keep_failed(struct sb_target *target, const struct sb_step_failure *failure,
                        struct sb_root *root, const char *what, struct sb_error *err) {
    struct sb_error own = {0};
    const struct sb_workshop *shop = target->shop;
    if (sb_target_finish_packing(target, &own) == 0 &&
        sb_failed_keep(shop->store, &target->image, root, failure, what, shop->epoch, &own) == 0)
        sb_failed_tell(shop->request->store_option, err);
    sb_root_free(root);
}

int sb_target_run(struct sb_target *target, size_t result, const struct sb_layer_site *site,
                  const struct sb_recipe_layer *layer, const char *packing, struct sb_root **out,
                  struct sb_error *err) {
    sb_autostrings struct sb_strings trees = {0};
    struct sb_step_failure failure = {0};
    sb_autofree char *what = NULL;
    struct sb_layer_result *r = &target->results[result];
    struct output output = {target, result};
    sb_target_notify(target, result, SB_EVENT_LAYER_START, NULL, 0);
    struct sb_layer_run run = {.site = site,
                               .settings = target->shop->settings,
                               .layer = layer,
                               .name = r->name,
                               .trees = &trees,
                               .failure = &failure,
                               .output = forward_output,
                               .warn = forward_warning,
                               .data = &output};
    int failed = sb_target_trees(target, result, &trees, err);
    if (!failed && packing)
        sb_strings_add(&trees, packing);
    if (!failed)
        failed = sb_failed_prepare(target->shop->store, &failure, err);
    if (!failed)
        failed = sb_layer_run(&run, out, &what, err);
    if (failed)
        sb_error_context(err, "layer %s", r->name);
    if (what)
        keep_failed(target, &failure, sb_steal(*out), what, err);
    sb_step_failure_free(&failure);
    return failed;
}
