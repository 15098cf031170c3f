/*
 * document/recipe: recipe files, parsed and checked (DESIGN.md section 3; docs/recipe.md).
 *
 * Parsing is driven by tables of keys (document/schema.h): the same tables give the errors, the
 * suggestions and recipes/schema.json, so they can't disagree. Every error of a file is found in
 * one pass, each as "file:line:column: what was wrong (expected …; did you mean …?)".
 *
 *     struct sb_recipe *recipe;
 *     if (sb_recipe_load("recipes/backend.yaml", &options, &recipe, &err) < 0) …
 *     for (size_t i = 0; i < recipe->layer_count; i++) …
 *     sb_recipe_free(recipe);
 */
#ifndef SB_DOCUMENT_RECIPE_H
#define SB_DOCUMENT_RECIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "document/pairs.h"
#include "document/service.h"
#include "document/step.h"
#include "layers/image.h"
#include "registry/ecr.h"

#define SB_RECIPE_DEPTH_LIMIT    32 /* recipes on top of one another */
#define SB_RECIPE_ARG_LIMIT      100
#define SB_RECIPE_TEST_LIMIT     256
#define SB_RECIPE_STAGE_LIMIT    64 /* stages of one file */
#define SB_RECIPE_PLATFORM_LIMIT 16
#define SB_RECIPE_COUNT_LIMIT    512 /* recipes, stages and images that one recipe needs */

enum sb_from_kind {
    SB_FROM_SCRATCH,
    SB_FROM_RECIPE,    /* another recipe file */
    SB_FROM_IMAGE,     /* an image: in the store, in an OCI layout or archive, in a registry */
    SB_FROM_BOOTSTRAP, /* debian: or ubuntu:, through mmdebstrap */
    SB_FROM_STAGE,     /* a stage of the same file */
};

struct sb_bootstrap {
    char *distribution;           /* "debian" or "ubuntu" */
    char *suite;                  /* "bookworm" */
    struct sb_strings components; /* default: main */
    struct sb_strings packages;   /* beyond the minimum (packages:) */
    char *mirror;                 /* NULL: the distribution's own; goes into sources.list */
};

struct sb_from {
    enum sb_from_kind kind;
    struct sb_place place;
    char *recipe; /* path of the file, relative to the working directory or absolute */
    char *image;  /* as written: "docker.io/nvidia/cuda:…", "oci:PATH:TAG", "oci-archive:FILE" */
    char *stage;  /* its name */
    struct sb_bootstrap bootstrap;
};

struct sb_recipe_layer {
    char *name;
    struct sb_place place;
    struct sb_step *steps; /* a layer written with one step directly has just that one */
    size_t step_count;
    char *left_out; /* while the recipe is read: why; NULL: it is not */
};

/* A layer, or a step of one, whose when: says that it isn't there. Nothing of it is looked at. */
struct sb_left_out {
    struct sb_recipe_layer layer; /* of a step: with that step alone */
    size_t step;                  /* its number in the layer, from 1; 0: the whole layer */
    size_t before;                /* index of the layer that it would be below, or is in */
    char *why;                    /* "PLATFORM_ARCH is arm64, not amd64" */
};

/* What steps see, and the image does not. */
struct sb_recipe_build {
    struct sb_strings shell; /* of scripts that name none; empty: the kind's */
    struct sb_pairs env;     /* templates, as those of the image, which they may name */
};

struct sb_recipe_test {
    struct sb_place place;
    bool service;        /* starts the service, and asks for its health */
    struct sb_step step; /* else: a script */
};

enum sb_tag_scheme {
    SB_TAG_SEMVER = 1,
    SB_TAG_GIT = 2,
    SB_TAG_DATE = 4,
};

struct sb_recipe_image {
    char *repository;             /* NULL when not given */
    struct sb_ecr_options ecr;    /* how it is made where it is missing */
    char *user, *workdir;         /* NULL: inherited from the base */
    struct sb_pairs env;          /* added to the base's; templates (document/environment.h) */
    struct sb_strings path;       /* directories before the base's PATH */
    bool has_entrypoint, has_cmd; /* an empty list clears the base's */
    struct sb_strings entrypoint, cmd;
    struct sb_strings ports;   /* "8003/tcp" */
    struct sb_strings volumes; /* absolute paths */
    struct sb_pairs labels;
    char *stop_signal; /* "SIGTERM"; NULL: inherited */
};

struct sb_project;
struct sb_recipe_files;
struct sb_recipe_family; /* all recipes of one load, which own one another */

/* What an image is made by: a file; a stage of one (context, args and compression are the file's,
 * and it has neither version, tags nor service); or an image that steps copy from, which is one
 * without layers of its own. */
struct sb_recipe {
    char *path;                       /* as found, for messages */
    const struct sb_project *project; /* what it may name; one for the whole chain */
    struct sb_recipe_family *family;
    char *name;
    char *title; /* for people: its name, "backend/wheels" of a stage, what it names of an image */
    enum sb_recipe_kind {
        SB_RECIPE_FILE,
        SB_RECIPE_STAGE,
        SB_RECIPE_IMAGE,
    } kind;
    char *version; /* NULL when not given */
    struct sb_from from;
    char *context;        /* directory: working-directory-relative or absolute; exists */
    struct sb_pairs args; /* after --set; values are final. Those of the platform come first
                             (document/arguments.h) */
    struct sb_recipe_build build;
    struct sb_strings platforms; /* of a file: that it is for; none: that of this machine */
    /* Of a stage: where its steps run, whatever it makes files for; SB_PLATFORM_BUILD is this
     * machine. NULL: on the platform of what needs it. */
    char *platform;
    bool differs; /* a stage that may come out otherwise for each platform that it is needed for */
    bool copies; /* one that does not differ, and is made of copies alone: it holds the same for all
                  */
    struct sb_recipe_layer *layers;
    size_t layer_count;
    struct sb_left_out *left_out; /* in the order of the file */
    size_t left_out_count, left_out_cap;
    struct sb_recipe_image image;
    unsigned tags; /* of sb_tag_scheme */
    enum sb_recipe_compression {
        SB_RECIPE_ZSTD,
        SB_RECIPE_GZIP,
    } compression;
    struct sb_recipe_test *tests;
    size_t test_count;
    struct sb_service service;
    struct sb_recipe **stages; /* of a file, in its order */
    size_t stage_count;
    struct sb_recipe *base; /* what from names: a recipe or a stage; NULL: an image, or nothing */
    /* What has to be there before it can be built: the base, if any, and what steps copy from, each
     * once. No circle leads back. */
    struct sb_recipe **needs;
    size_t need_count, need_cap;
};

struct sb_recipe_options {
    const struct sb_platform *platform; /* that is built for; NULL: this machine's */
    const struct sb_strings *allowed;   /* --allow; may be NULL */
    const struct sb_strings *trusted;   /* trust: of the user's settings; may be NULL */
    struct sb_recipe_files *files;      /* document/recipe_files.h; NULL: the load's own */
    const struct sb_pairs *set; /* --set K=V: replaces args of that name; a name that no recipe of
                                   the chain declares is an error. May be NULL */
};

/* Loads a recipe and, through from: and what steps copy from, those that it needs. Cycles, chains
 * deeper than the limit, more than SB_LAYER_LIMIT layers over the whole chain, duplicate layer
 * names in one recipe, secrets or args that are used and not declared, files outside the project:
 * all are errors with a place. On failure err is SB_E_RECIPE and its message has a line for each
 * error (SB_E_NOT_FOUND when the file itself is missing). Free with sb_recipe_free. */
int sb_recipe_load(const char *path, const struct sb_recipe_options *options,
                   struct sb_recipe **out, struct sb_error *err);
/* The platforms that the file names, as far as they are right: loading tells what is wrong. options
 * must have files, which the load can use. */
int sb_recipe_platforms(const char *path, const struct sb_recipe_options *options,
                        struct sb_strings *out, struct sb_error *err);
/* The one that stands for the recipe in what was loaded with of, for another platform; NULL: none
 * does. */
struct sb_recipe *sb_recipe_counterpart(const struct sb_recipe *recipe, const struct sb_recipe *of);
/* Frees it, and all that it needs. */
void sb_recipe_free(struct sb_recipe *recipe);

/* All recipes, stages and images that were loaded with a recipe: each after those that it needs. */
struct sb_recipe *const *sb_recipe_all(const struct sb_recipe *recipe, size_t *out_count);

#endif
