/*
 * document/step: the kinds of steps. Each kind is one file, steps/<kind>.c, and one row of
 * the list in steps/kinds.h: its keys (what YAML may say), what of it goes into the cache key,
 * and how it runs.
 */
#ifndef SB_DOCUMENT_STEP_H
#define SB_DOCUMENT_STEP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "document/pairs.h"

/* A place in a recipe file. file belongs to the recipe. */
struct sb_place {
    const char *file;
    int line, column; /* from 1; 0 when unknown */
};

/* Whose files a step takes, if not those of the context. */
struct sb_origin {
    char *stage, *recipe, *image; /* one of them, as written; all NULL: the context */
    struct sb_place place;        /* where that is said */
    size_t need;                  /* index in the recipe's needs; set unless it is the context */
};
bool sb_origin_is_context(const struct sb_origin *origin);

/* Files that a step puts in places that are known before it runs. */
struct sb_placing {
    struct sb_origin origin;
    struct sb_strings from;             /* paths or patterns there; "." is all of it */
    struct sb_strings exclude, include; /* .dockerignore patterns, relative to each source's root */
    const char *url, *sha256; /* instead of from: one file that is fetched; 64 hex digits */
    char *to;                 /* absolute; "…/" or several sources or a directory: into it */
    uint32_t uid, gid; /* default 0:0; numeric only, as no root file system may be there to ask */
    bool owner_given;  /* else what comes from an image keeps its owners */
    int32_t file_mode, directory_mode; /* mode: "0644" or {files, directories}; -1: from the source,
                                          reduced to 0755/0644 by its executable bit */
};

struct sb_step_kind;
struct sb_recipe_build; /* document/recipe.h */

struct sb_step {
    const struct sb_step_kind *kind;
    struct sb_place place;
    /* Common to all kinds, beside the step's own key. */
    bool network_given, network; /* network: none | host */
    struct sb_strings secrets;   /* names; each is there during the step only, as /run/secrets/NAME,
                                    or where one of these says: */
    struct sb_strings secret_places, secret_variables; /* a file's path, a variable's name, or ""
                                                        */
    struct sb_strings caches; /* absolute directories kept between builds, */
    struct sb_strings shares; /* and for each the name under which recipes share it; "": none */
    /* Files that its programs see, read-only, and that are in no layer: each a copy step of its
     * own, into nothing. */
    struct sb_step *inputs;
    size_t input_count;
    bool args_given;        /* args: says which arguments its programs see; else run sees all */
    struct sb_strings args; /* those that they see, as environment variables (run), and in the */
                            /* image's variables that are made of them */
    struct sb_strings platform_args; /* those of the platform that it sees by default, as its script
                                        names them */
    struct sb_pairs env;             /* that its programs have; templates, of what it sees */
    const struct sb_recipe_build *build; /* its recipe's; may be NULL */
    char *left_out;              /* while the recipe is read: why (when:); NULL: it is not */
    struct sb_strings args_used; /* names of args that it depends on: those, and what ${…} in values
                                    named */
    void *own;                   /* the kind's, of kind->size bytes: what its keys are bound to */
};

struct sb_step_run_context; /* steps/execution.h */
struct sb_secrets;          /* steps/execution.h */
struct sb_settings;         /* document/settings.h */
struct sb_context;          /* context/context.h */
struct sb_input_list;       /* context/context.h */
struct sb_key;              /* document/schema.h */
struct sb_reader;           /* document/schema.h */
struct sb_yaml;             /* base/yaml.h */

enum { SB_STEP_SETTLED = 65 }; /* bytes, for what a moving name stands for */

struct sb_step_kind {
    const char *name;          /* the YAML key */
    const char *description;   /* one line for the schema and the docs */
    size_t size;               /* of what its keys are bound to, the step's own */
    const struct sb_key *keys; /* the one marked as shorthand may stand alone */
    bool network;              /* whether it gets the network when the recipe says nothing */
    bool runs_programs;        /* so that secrets: and cache: make sense */
    bool runs_outside;         /* those are this machine's, and not the root's */
    bool sees_env;             /* they see the image's environment, so that args: makes sense: not
                                  apt's, which are the distribution's own */
    bool sees_args;     /* the recipe's arguments are variables of them; all, unless args: says */
    bool is_script;     /* they are the recipe's own text: how such go wrong is known */
    bool goes_by_times; /* such as make: they see what changed as newer (steps/times.h) */
    bool keeps_times;   /* unless it places files, what it unpacks has its own times */
    /* Where it puts what, of a kind that says so before it runs: it needs no root then. It has no
     * inputs and no look beside that. NULL, the function or its answer: it does not. */
    const struct sb_placing *(*placing)(const struct sb_step *step);
    bool checks_always; /* its check is for keys that had mistakes, too */
    /* Frees what keys that read themselves (SB_KEY_CUSTOM) filled of the kind's own; may be NULL.
     */
    void (*free)(void *own);
    /* Reports what a table can't say and fills what is derived; may be NULL. node is the value of
     * the kind's key. */
    void (*check)(struct sb_step *step, struct sb_reader *reader, const struct sb_yaml *node);
    /* What of it may stand for something else tomorrow, as lock files name it ("https://h/a.git
     * refs/heads/main"), the caller's; NULL, the function or its answer: nothing, or it was
     * settled.
     */
    char *(*moving)(const struct sb_step *step);
    /* Asks what that stands for now; out is for settle. */
    int (*resolve)(const struct sb_step *step, const struct sb_secrets *secrets,
                   const struct sb_settings *settings, char out[static SB_STEP_SETTLED],
                   struct sb_error *err);
    /* Before the key of the step's layer is made: what that stands for in this build. */
    void (*settle)(const struct sb_step *step, const char *value);
    /* Fills out with what the step's result depends on, beside input files: canonical, and without
     * anything that doesn't matter (places, the order of a set). */
    void (*describe)(const struct sb_step *step, json_t *out);
    /* Appends what of the context the step reads; NULL when its kind reads none, 1 when this one
     * has no key that could name any. What is missing is told,
     * with what names it. copy has none here: context/copy.h looks after it. */
    int (*inputs)(const struct sb_step *step, struct sb_context *context, struct sb_input_list *out,
                  struct sb_error *err);
    /* Tells what is missing of that, or on this machine, before anything is built, and with deep
     * what can't be read; nothing is hashed. NULL: nothing can be. */
    int (*look)(const struct sb_step *step, struct sb_context *context, bool deep,
                struct sb_error *err);
    /* One line for progress and the image's history: "apt: python3 python3-torch". The caller's. */
    char *(*summary)(const struct sb_step *step);
    /* Runs it within a mounted root (every kind has this: copy and download may stand in a layer
     * that needs a root). A failing program is SB_E_STEP. */
    int (*run)(const struct sb_step *step, struct sb_step_run_context *context,
               struct sb_error *err);
};

/* As its kind says; NULL: it places nothing. */
const struct sb_placing *sb_step_placing(const struct sb_step *step);
/* Of a step that places files: those of the context, or else one that is fetched. */
bool sb_step_copies(const struct sb_step *step);
bool sb_step_downloads(const struct sb_step *step);

/* The n-th of what a step takes files from, from 0: also the context; NULL when there are no more.
 */
struct sb_origin *sb_step_origin(const struct sb_step *step, size_t n);

/* Puts the step's place before the error, "app.yaml:5:7: …"; returns -1. */
int sb_step_at(const struct sb_step *step, struct sb_error *err);

/* Says so when a name in the path is longer than any file's can be; node is the value. */
void sb_reader_check_names(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                           const char *path);
/* For check: says so when the path that the key of node gives could be in no layer. */
void sb_step_check_path(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                        const char *path);
/* True of a path with a name that means a removed file in a layer (.wh.NAME). */
bool sb_step_is_whiteout(const char *path);
/* Whether an absolute, clean path is one of those that a step's container itself needs. */
bool sb_step_reserved(const char *path);

/* For describe: a list as it is, or as a sorted set. A new reference. */
json_t *sb_step_list(const struct sb_strings *list);
json_t *sb_step_set(const struct sb_strings *list);
/* "0644", as recipes write it; a new reference. */
json_t *sb_step_mode(int32_t mode);
/* "kind: a b c", for summaries; the caller's. */
char *sb_step_words(const char *kind, const struct sb_strings *words);

/* All kinds, in the order of the docs; ends in NULL. */
extern const struct sb_step_kind *const sb_step_kinds[];
const struct sb_step_kind *sb_step_kind_find(const char *name);

#endif
