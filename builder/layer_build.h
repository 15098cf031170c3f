/*
 * builder/layer_build: making one layer: copied files straight into the packer, or steps in a root.
 */
#ifndef SB_BUILDER_LAYER_BUILD_H
#define SB_BUILDER_LAYER_BUILD_H

#include "base/error.h"
#include "builder/layer_key.h"
#include "document/settings.h"

/* Packs what a copy layer copies. out has none yet. SB_E_FAILED
 * with SB_REASON_CHANGED: a file changed meanwhile. */
int sb_layer_pack_copy(const struct sb_layer_site *site, const struct sb_copy_list *list,
                       const struct sb_pack_options *options, struct sb_parts *out,
                       struct sb_error *err);

struct sb_layer_run {
    const struct sb_layer_site *site;
    const struct sb_settings *settings;
    const struct sb_recipe_layer *layer; /* NULL: the bootstrap of the recipe */
    const char *name;                    /* for the log's name */
    const struct sb_strings *trees;      /* of the layers below, lowest first */
    struct sb_step_failure *failure;     /* prepared (builder/failed.h); NULL: nothing is kept */
    void (*output)(void *data, const char *text, size_t len); /* live output; may be NULL */
    void (*warn)(void *data, const char *text);               /* may be NULL */
    void *data;
};
/* Runs the steps in a root of their own; on success the root is unmounted, its upper directory
 * holds the layer with no mtime beyond the epoch, and is the caller's (sb_root_free). A failing
 * step is SB_E_STEP, with its last lines and the path of its log. With failure, and a program that
 * failed, *out is then its root, unmounted, and *out_what what the error says in a line, the
 * caller's. */
int sb_layer_run(const struct sb_layer_run *run, struct sb_root **out, char **out_what,
                 struct sb_error *err);

/* Packs an upper directory. It becomes the tree of the layer by sb_tree_adopt, once nothing that
 * was told its path can still be about to mount it. */
int sb_layer_pack_root(struct sb_store *store, const struct sb_root *root, int64_t epoch,
                       const struct sb_pack_options *options, struct sb_parts *out,
                       struct sb_error *err);

#endif
