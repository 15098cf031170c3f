/*
 * builder/layer_key: what a layer depends on, as the JSON that its cache key is computed over.
 *
 * Version 1, three kinds:
 *   copy       "content": digest of the listing of what is copied (context/copy.h), and the epoch.
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
#include "context/context.h"
#include "context/copy.h"
#include "document/recipe.h"
#include "layers/image.h"
#include "steps/execution.h"

#define SB_KEY_VERSION 1
/* Of what programs find beside the image's variables: HOME, places of caches, the workdir. */
#define SB_KEY_ENVIRONMENT 2

/* What a layer stands on, and is made from. */
struct sb_layer_site {
    struct sb_store *store;
    const struct sb_recipe *recipe;
    const struct sb_platform *platform;  /* that programs of its steps are for */
    const struct sb_image *below;        /* the image so far */
    const struct sb_copy_ground *ground; /* what its copies land on; for a copy layer only */
    struct sb_context *context;
    const struct sb_copy_from *from;       /* that, and the stages and images that steps name */
    const struct sb_image *const *origins; /* these, by their index in the recipe's needs */
    bool by_origin; /* what is taken of them counts by the layers that they have, unseen */
    const struct sb_secrets *secrets;
    const struct sb_settings *settings; /* may be NULL */
    struct sb_registry *registry;       /* for downloads, as sb_fetch has it; may be NULL */
    const char *workdir;                /* of the image so far, the recipe's own included */
    bool brings_workdir;                /* a copy layer brings that directory, if it is missing */
    int64_t epoch;
};

/* True when every step of the layer copies, or downloads and unpacks nothing: made without a root
 * file system. */
bool sb_layer_is_copy(const struct sb_recipe_layer *layer);
/* True when some layer of the recipe itself has steps that run in a root. */
bool sb_recipe_runs_steps(const struct sb_recipe *recipe);
/* The same of the recipe and all that it needs, or when it has tests: what a build of it may have
 * to enter namespaces for, with one thread. */
bool sb_recipe_needs_root(const struct sb_recipe *recipe);
/* True when something is downloaded, by a program of this machine. */
bool sb_layer_fetches(const struct sb_recipe_layer *layer);
/* What the programs of a step see of the image's environment and of the recipe's build: env, and
 * the variables that it says itself, which may name these and win over all; free both with
 * sb_pairs_free, after an error too. */
struct sb_step_environment {
    struct sb_pairs seen, own;
};
int sb_layer_environment(const struct sb_layer_site *site, const struct sb_step *step,
                         struct sb_step_environment *out, struct sb_error *err);
void sb_step_environment_free(struct sb_step_environment *env);
/* True when a script of it has a cache directory: what changed below since that was used last has
 * to be known (steps/times.h). */
bool sb_layer_keeps_products(const struct sb_recipe_layer *layer);
/* How many of its first steps copy or download, and so land on what the layers below hold: all
 * steps of a copy layer. */
size_t sb_layer_copies_first(const struct sb_recipe_layer *layer);

/* True when a step of it reads files of the context. */
bool sb_layer_reads_context(const struct sb_recipe_layer *layer);
/* True when a step of it takes files from a stage, a recipe or an image. */
bool sb_layer_takes(const struct sb_recipe_layer *layer);

/* copies gets what is copied. */
int sb_layer_key(const struct sb_layer_site *site, const struct sb_recipe_layer *layer,
                 struct sb_copies *copies, struct sb_cache_key *out, struct sb_error *err);
/* What one step does, as it stands in the key: a new reference, also after an error. */
int sb_layer_step_json(const struct sb_layer_site *site, const struct sb_step *step,
                       struct sb_copies *copies, json_t **out, struct sb_error *err);
void sb_bootstrap_key(const struct sb_layer_site *site, const struct sb_bootstrap *bootstrap,
                      struct sb_cache_key *out);

/* The steps in one line, for progress and the image's history; the caller's to free. */
char *sb_layer_summary(const struct sb_recipe_layer *layer);

#endif
