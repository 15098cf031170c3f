/*
 * builder/target: one recipe on its way to an image, layer by layer, in the build's workshop.
 */
#ifndef SB_BUILDER_TARGET_H
#define SB_BUILDER_TARGET_H

#include "builder/layer_key.h"
#include "builder/request.h"
#include "builder/workshop.h"
#include "context/context.h"
#include "sandbox/root.h"

struct sb_target {
    struct sb_workshop *shop;
    const struct sb_recipe *recipe;
    const struct sb_platform *platform; /* that its steps run on, and its image is for */
    struct sb_target *base;             /* what it stands on, of the same build, or NULL */
    /* Edges (builder/graph.h): needs as the recipe has them, and back. */
    struct sb_target **needs, **dependents;
    size_t need_count, dependent_count, dependent_cap;
    bool kept;  /* by sb_graph_mark */
    char *path; /* of the recipe, absolute and without links; what of it is meant, and for what */
    struct sb_context *context; /* the build's, or its own while it has a thread */
    bool own_context;
    struct sb_image image; /* so far: the base's layers and this recipe's first `next` ones */
    struct sb_pairs env;   /* of the image, the recipe's own included */
    char *workdir;
    char *shown_platform; /* NULL: it goes without saying */
    char *pinned; /* where the base image lies, if in a registry: "host/repository:tag@sha256:…" */
    json_t *said_paths; /* what the base image's config says of its paths; NULL: nothing */
    struct sb_target_sources *sources; /* what steps take of other targets; NULL until needed */
    struct sb_target_stack *stack;     /* what copies see of the layers below; NULL until needed */
    struct sb_layer_result *results;   /* of the base image's or this recipe's own layers */
    size_t result_count;
    size_t
        base_count; /* results that came with a base image; then perhaps a bootstrap; then layers */
    size_t next;    /* index of the first result that isn't decided */
    size_t first_id;            /* event id of results[0] */
    struct sb_strings uncached; /* names of layers that are built whatever there is */
    const char *until;          /* the layer that it ends with; NULL: the last */
    /* In a plan, once a layer has to be built: what it was last stands for what it will be. */
    const char *unsure; /* that layer, or the recipe that has it; NULL: none so far */
    bool blind;         /* of one of them nothing is known */
    bool keyless;       /* what results[next] reads isn't there, or can't be read */
    bool started;       /* of the thread that advances it, as all above */
    struct sb_target_packing *packing; /* the layer before `next`, while it is being packed */
    /* Under the build's lock: */
    size_t open; /* edges to what isn't done */
    enum {
        SB_TARGET_WAITING,
        SB_TARGET_DONE,
        SB_TARGET_FAILED,
    } state;
};

enum sb_target_effort {
    SB_TARGET_PLAN,    /* build nothing, say what would be */
    SB_TARGET_NO_ROOT, /* build what needs no root file system, stop at the first layer that does */
    SB_TARGET_ALL,
};

/* 0: done; 1: stopped at a layer that needs a root (SB_TARGET_NO_ROOT only); -1: failed. */
int sb_target_advance(struct sb_target *target, enum sb_target_effort effort, struct sb_error *err);
/* As if it had never been started; none of the build's targets may be at work. */
void sb_target_reset(struct sb_target *target);
void sb_target_free(struct sb_target *target);
/* Opens its context, unless it is open: one for all targets of a directory, as long as none of them
 * has a thread. */
int sb_target_open_context(struct sb_target *target, struct sb_error *err);

/* ---- target_start.c ---- */

/* The base must be done (or planned). Reads the base image, prepares results. */
int sb_target_start(struct sb_target *target, struct sb_error *err);
/* The lowest recipe of the chain: the one that stands on no recipe. */
struct sb_target *sb_target_root(struct sb_target *target);

/* ---- target_trees.c ---- */

/* A layer of the image turned out not to be had, or not to be what a shared cache's record says:
 * the build begins again, and makes it here. layer: its index. */
void sb_target_reject(const struct sb_target *target, size_t layer, struct sb_error *err);
/* The trees of all layers of the image so far, for results[result]: lowest first. */
int sb_target_trees(struct sb_target *target, size_t result, struct sb_strings *out,
                    struct sb_error *err);

/* ---- target_run.c ---- */

/* Runs the steps of a layer, of results[result], as sb_layer_run has it. packing: the directory of
 * the layer below, if that is still being packed; else NULL. A root in which a program failed is
 * kept (builder/failed.h). */
int sb_target_run(struct sb_target *target, size_t result, const struct sb_layer_site *site,
                  const struct sb_recipe_layer *layer, const char *packing, struct sb_root **out,
                  struct sb_error *err);
/* Waits for the layer that is being packed, if any: it is the image's then. */
int sb_target_finish_packing(struct sb_target *target, struct sb_error *err);

/* ---- target_sources.c ---- */

/* What steps take files from: the context, as far as it is open, and the images of other targets,
 * which are done. Files of these are laid out when they are first wanted, and until the target is
 * reset. */
const struct sb_copy_from *sb_target_sources(struct sb_target *target);
/* Their images, by their index in the recipe's needs; valid as long as the target isn't reset. */
const struct sb_image *const *sb_target_origins(struct sb_target *target);
/* What was taken of them was decided by a table of contents that a shared cache told. */
bool sb_target_sources_are_told(const struct sb_target *target);
void sb_target_sources_free(struct sb_target_sources *sources); /* NULL is allowed */
/* In a plan: the title of a recipe that a layer takes something from, and of which it isn't known
 * yet what it will be; NULL: none. */
const char *sb_target_unsure_source(const struct sb_target *target,
                                    const struct sb_recipe_layer *layer);

/* ---- target_stack.c ---- */

/* What a layer's copies land on. Of a base that lies in a registry that is what its config says of
 * its paths (context/base_paths.h), so that it need not be fetched and every machine sees the same;
 * of all others their tables of contents. Valid until the next layer. */
int sb_target_ground(struct sb_target *target, struct sb_copy_ground *out, struct sb_error *err);
void sb_target_stack_free(struct sb_target_stack *stack); /* NULL is allowed */
/* Says in the image's config what those who build on it need to know. */
int sb_target_describe_paths(struct sb_target *target, struct sb_error *err);

/* ---- target_events.c ---- */

/* Tells whoever listens to the build; result is the index of a layer of the target. */
void sb_target_notify(struct sb_target *target, size_t result, enum sb_event_type type,
                      const char *text, size_t text_len);
void sb_target_notify_growth(struct sb_target *target, size_t result,
                             const struct sb_layer_growth *growth);
/* What sbuild wrote was no input: other machines, where it did not write them, would take it. */
void sb_target_warn_outputs(struct sb_target *target);

#endif
