/*
 * builder/request: what is asked of a build, what it tells while it is at work, and what it gives.
 */
#ifndef SB_BUILDER_REQUEST_H
#define SB_BUILDER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "document/recipe.h"
#include "document/settings.h"
#include "layers/image.h"
#include "layers/parts.h"
#include "layers/store.h"
#include "registry/release.h"
#include "registry/remote.h"
#include "steps/execution.h"

enum sb_layer_state {
    SB_LAYER_UNKNOWN, /* plan: depends on a layer below that has to be built first */
    SB_LAYER_CACHED,
    SB_LAYER_BUILT, /* plan: has to be built */
    SB_LAYER_BASE,  /* came with a base image */
};

struct sb_layer_result {
    const char *recipe;   /* the recipe's name */
    const char *platform; /* that it is for; NULL where that goes without saying */
    const struct sb_recipe *source;
    char *name;    /* the layer's */
    char *summary; /* its steps in one line */
    enum sb_layer_state state;
    char *cause;            /* why it is built; NULL when cached */
    struct sb_digest key;   /* valid unless unknown */
    const char *repository; /* of the shared cache, when it was found there just now; else NULL */
    struct sb_parts parts;  /* none as long as it isn't known */
    double seconds;         /* building and packing */
};

enum sb_test_state {
    SB_TEST_UNKNOWN, /* plan: depends on a layer that has to be built first */
    SB_TEST_CACHED,  /* it passed before, in an image like this one */
    SB_TEST_RUN,     /* it is to be run */
    SB_TEST_PASSED,
    SB_TEST_LEFT_OUT, /* by its when: */
    SB_TEST_SKIPPED,
    SB_TEST_FAILED,
};
struct sb_test_result {
    char *summary;
    enum sb_test_state state;
    struct sb_digest key; /* unless unknown */
    double seconds;
};

enum sb_event_type {
    SB_EVENT_LAYER_START,  /* a layer is being built */
    SB_EVENT_LAYER_OUTPUT, /* text of a step */
    SB_EVENT_LAYER_PACK,   /* its steps are done, it is being packed */
    SB_EVENT_LAYER_DONE,   /* built or found */
    SB_EVENT_WAIT,         /* another process builds the same layer */
    SB_EVENT_READ,  /* how far reading a large file of the context is, or packing the layer; text
                       says it */
    SB_EVENT_FETCH, /* layers below it are fetched, as its steps run on them; text says what */
    SB_EVENT_LAYER_GROW, /* while it is being packed; growth says how far it is. Only where they are
                            wanted (watch_growth) */
    SB_EVENT_TEST,    /* a test has ended: the layer stands for it, and is no layer of any image */
    SB_EVENT_WARNING, /* of the whole build: layer is NULL */
    SB_EVENT_RESTART, /* what was told of layers counts for nothing: all begins again, with one
                         record less of a shared cache; layer is NULL */
    SB_EVENT_ALONE, /* now this process must have one thread, until the next event: who listens ends
                        its own; layer is NULL */
};
/* The first size bytes of the layer's blob are in the file fd, and stay as they are; it is open
 * until the listener returns. 0: packing failed, or begins anew. */
struct sb_layer_growth {
    int fd;
    uint64_t size;
    const char *media_type; /* that the layer will have */
};
struct sb_event {
    enum sb_event_type type;
    size_t id; /* of the layer within this build, from 0: the same in all its events */
    const struct sb_layer_result *layer;
    const char *text;
    size_t text_len;
    const struct sb_layer_growth *growth;
};

struct sb_build_request {
    const char *const *recipes;
    size_t recipe_count;
    struct sb_strings allow;     /* --allow: directories that recipes may read beneath, too */
    struct sb_pairs set;         /* --set */
    struct sb_strings platforms; /* --platform; empty: those of the recipe, or this machine's */
    bool one_platform; /* or this machine's alone, if the recipe is for it, else its first */
    struct sb_secrets secrets; /* --secret */
    struct sb_strings tags;    /* --tag: tags, or whole names that begin with a registry's host */
    const char *version;       /* --version; NULL: the recipe's, or git's */
    bool no_cache;
    struct sb_strings no_cache_layers; /* --no-cache=LAYER, or RECIPE/LAYER */
    const char *until; /* --until: the last layer that is built; what results gets no tags but those
                          of --tag. NULL: all are */
    /* The shared cache: repositories. Neither is used without a registry. */
    struct sb_strings cache_from; /* --cache-from */
    const char *cache_to;         /* --cache-to; may be NULL */
    bool skip_tests;              /* --skip-tests */
    bool untagged;                /* whatever else is said, no tag is set, and no test is run */
    const char *store_option;     /* --store, for what is said of it; NULL: not given */
    bool share_last; /* nothing is sent to cache_to before sb_build_share: what is pushed to the
                        same registry meanwhile is mounted then */
    const enum sb_recipe_compression *compression; /* instead of the recipes'; NULL: theirs */
    struct sb_registry *registry; /* for bases and caches that lie in one; NULL: none is asked */
    int jobs; /* threads that compress, and recipes at once; 0: the settings', else one a core */
    bool watch_growth;
    /* Called once, before the first step runs, and not at all when none has to: whoever needs the
     * result to be worth the wait asks now. Not 0 ends the build, with its error. May be NULL. */
    int (*before_steps)(void *data, struct sb_error *err);
    /* Called from any thread, never two at a time. May be NULL. */
    void (*notify)(void *data, const struct sb_event *event);
    void *data;
};

/* What was made of a recipe for one platform. */
struct sb_build_image {
    const struct sb_recipe *recipe; /* as it is for that platform */
    const struct sb_platform *platform;
    const char *shown;     /* its text, where it is told of; else NULL */
    struct sb_image image; /* complete after sb_build_run; should that have failed, only where its
                              descriptor has a media type */
    const char *base;      /* where its base image lies, if in a registry:
                              "host/repository:tag@sha256:…"; else NULL */
    const struct sb_layer_result *const *layers; /* of the whole chain, lowest first */
    size_t layer_count;
    /* Of stages and images that something is taken from, each after those that it needs. */
    const struct sb_layer_result *const *needed;
    size_t needed_count;
    struct sb_test_result *tests; /* of the recipe itself */
    size_t test_count;
};

struct sb_build_result {
    const struct sb_recipe *recipe; /* as it is for the first of its platforms */
    struct sb_build_image *images;  /* for each platform */
    size_t image_count;
    bool is_index; /* tags name an index of these images, and not the only one of them */
    struct sb_descriptor descriptor; /* what tags name; no media type: it did not come about */
    struct sb_strings tags;          /* full names: "backend:v1.4.2", "host/team/backend:v1.4.2" */
    struct sb_release release;       /* its version, and what may be done with that */
    struct sb_strings told;          /* tags for a registry, beside those of the release */
    char *version;    /* what git says of one that is no release: "0.5.1-dev.3+gabc123f", a
                         label of the image; else NULL */
    char *no_release; /* why it is none: "3 commits after v0.5.0" */
};

#endif
