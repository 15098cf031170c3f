/*
 * builder/layer_key: what a layer depends on, as the JSON that its cache key is computed over.
 *
 * Version 1, three kinds:
 *   copy       "content": digest of the listing of what is copied (builder/copy.h), and the epoch.
 * Nothing of the layers below but what the listing shows of them. steps      "below": the diff IDs
 * of all layers below; "env", "workdir" and the version of what else there is ("environment") when
 * a step sees them; for each step its kind, what it does, network, caches, args, secrets (HMAC) and
 * inputs. bootstrap  distribution, suite, components, packages. All have the platform where it
 * matters, the compression and the epoch.
 */
#ifndef SB_BUILDER_LAYER_KEY_H
#define SB_BUILDER_LAYER_KEY_H

#include "base/error.h"
#include "builder/cache.h"
#include "builder/context.h"
#include "builder/copy.h"
#include "builder/execution.h"
#include "builder/recipe.h"
#include "layers/image.h"

#define SB_KEY_VERSION 1
/* Of what programs find beside the image's variables: HOME, places of caches, the workdir. */
#define SB_KEY_ENVIRONMENT 2

/* What a layer stands on, and is made from. */
struct sb_layer_site {
    struct sb_store *store;
    const struct sb_recipe *recipe;
    const struct sb_image *below; /* the image so far */
    const struct sb_stack *stack; /* its tables of contents; needed when a step copies */
    struct sb_context *context;
    const struct sb_secrets *secrets;
    const struct sb_settings *settings; /* may be NULL */
    const struct sb_pairs *env;         /* of the image so far, the recipe's own included */
    const char *workdir;
    bool brings_workdir; /* a copy layer brings that directory, if it is missing */
    int64_t epoch;
};

/* True when every step of the layer copies, or downloads and unpacks nothing: made without a root
 * file system. */
bool sb_layer_is_copy(const struct sb_recipe_layer *layer);
/* True when something is downloaded, by a program of this machine. */
bool sb_layer_fetches(const struct sb_recipe_layer *layer);
/* True when some step of it runs programs that see the image's environment. */
bool sb_layer_sees_env(const struct sb_recipe_layer *layer);
/* True when its key needs to know what is in the layers below: where copied files land. */
bool sb_layer_looks_below(const struct sb_recipe_layer *layer);

/* For a copy layer, list gets what is copied and listing its text; else they stay empty. */
int sb_layer_key(const struct sb_layer_site *site, const struct sb_recipe_layer *layer,
                 struct sb_copy_list *list, struct sb_buf *listing, struct sb_cache_key *out,
                 struct sb_error *err);
void sb_bootstrap_key(const struct sb_layer_site *site, const struct sb_bootstrap *bootstrap,
                      struct sb_cache_key *out);

/* The steps in one line, for progress and the image's history; the caller's to free. */
char *sb_layer_summary(const struct sb_recipe_layer *layer);

#endif
