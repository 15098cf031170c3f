/*
 * document/step: the kinds of steps. Each kind is one file, steps/<kind>.c, and one row of
 * the table in steps/kinds.c: its keys (what YAML may say), what of it goes into the cache key,
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

/* A place in a recipe file. file belongs to the recipe. */
struct sb_place {
    const char *file;
    int line, column; /* from 1; 0 when unknown */
};

enum sb_step_type {
    SB_STEP_COPY,
    SB_STEP_RUN,
    SB_STEP_APT,
    SB_STEP_PIP,
    SB_STEP_DOWNLOAD,
    SB_STEP_PRUNE,
};

/* copy: {from, to, exclude, include, owner, mode}. Shorthand: "copy: [SRC…, DEST]" is not offered.
 */
struct sb_step_copy {
    struct sb_strings from; /* paths or patterns in the context; from: "." is all of it */
    char *to;               /* absolute; "…/" or several sources or a directory: into it */
    struct sb_strings exclude, include; /* .dockerignore patterns, relative to each source's root */
    uint32_t uid, gid; /* default 0:0; numeric only, as no root file system may be there to ask */
    int32_t file_mode, directory_mode; /* mode: "0644" or {files, directories}; -1: from the source,
                                          reduced to 0755/0644 by its executable bit */
};

/* run: SCRIPT or {script, shell, workdir, user}. */
struct sb_step_run {
    char *script;
    int line;                /* of the recipe file, where the script's first is */
    bool literal;            /* and its other lines are below that */
    struct sb_strings shell; /* default: sh -eu */
    char *workdir;           /* default: the image's so far, else / */
    char *user;              /* default: root */
};

/* apt: [packages] or {packages, recommends}. */
struct sb_step_apt {
    struct sb_strings packages;
    bool recommends;
    struct sb_strings
        components; /* extra components of the base's own archive to enable, rarely used */
};

/* pip: [requirement specifiers] or {requirements, constraints, project, packages, python,
 * index_url, extra_index_urls, find_links, target}. */
struct sb_step_pip {
    struct sb_strings requirements, constraints; /* files of the context */
    struct sb_strings projects; /* directories or archives of the context, maybe with "[extra]" */
    struct sb_strings packages;
    char *python;    /* default "python3" */
    char *index_url; /* NULL: PyPI, or what sbuild.yaml's pip mirror says */
    struct sb_strings extra_index_urls;
    char *find_links; /* a directory of the context with wheels; then no network is needed */
    char *target;     /* --target; NULL: the system's site-packages */
};

/* download: {url, sha256, to, mode, owner, extract}. */
struct sb_step_download {
    char *url;
    char *sha256; /* 64 hex digits */
    char *to; /* absolute path of the file, or directory when it ends in "/" or extract is set */
    int32_t mode; /* default 0644 */
    uint32_t uid, gid;
    bool extract;  /* a tar of any compression, unpacked into to */
    int64_t strip; /* leading path components to drop when extracting */
};

/* prune: [docs, pyc, tests, man, locales, static, headers, "glob"] : what to remove from what the
 * layer's earlier steps wrote, or from the whole file system when it is a layer of its own. */
struct sb_step_prune {
    struct sb_strings what;
};

struct sb_step_kind;

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
    bool args_given;          /* args: says which arguments its programs see; else run sees all */
    struct sb_strings args;   /* those that they see, as environment variables (run), and in the */
                              /* image's variables that are made of them */
    struct sb_strings args_used; /* names of args that it depends on: those, and what ${…} in values
                                    named */
    union {
        struct sb_step_copy copy;
        struct sb_step_run run;
        struct sb_step_apt apt;
        struct sb_step_pip pip;
        struct sb_step_download download;
        struct sb_step_prune prune;
    };
};

struct sb_step_run_context; /* steps/execution.h */
struct sb_context;          /* context/context.h */
struct sb_input_list;       /* context/context.h */
struct sb_key;              /* document/schema.h */
struct sb_reader;           /* document/schema.h */
struct sb_yaml;             /* base/yaml.h */

struct sb_step_kind {
    enum sb_step_type type;
    const char *name;          /* the YAML key */
    const char *description;   /* one line for the schema and the docs */
    const struct sb_key *keys; /* bound to members of struct sb_step; the one marked as shorthand
                                  may stand alone */
    bool network;              /* whether it gets the network when the recipe says nothing */
    bool runs_programs;        /* so that secrets: and cache: make sense */
    bool sees_env;             /* they see the image's environment, so that args: makes sense: not
                                  apt's, which are the distribution's own */
    /* Reports what a table can't say and fills what is derived; may be NULL. node is the value of
     * the kind's key. */
    void (*check)(struct sb_step *step, struct sb_reader *reader, const struct sb_yaml *node);
    /* Fills out with what the step's result depends on, beside input files: canonical, and without
     * anything that doesn't matter (places, the order of a set). */
    void (*describe)(const struct sb_step *step, json_t *out);
    /* Appends what of the context the step reads; NULL when it reads none. What is missing is told,
     * with what names it. copy has none here: context/copy.h looks after it. */
    int (*inputs)(const struct sb_step *step, struct sb_context *context, struct sb_input_list *out,
                  struct sb_error *err);
    /* Tells what is missing of that, before anything is built, and with deep what can't be read;
     * nothing is hashed. NULL: nothing can be. */
    int (*look)(const struct sb_step *step, struct sb_context *context, bool deep,
                struct sb_error *err);
    /* One line for progress and the image's history: "apt: python3 python3-torch". The caller's. */
    char *(*summary)(const struct sb_step *step);
    /* Runs it within a mounted root (every kind has this: copy and download may stand in a layer
     * that needs a root). A failing program is SB_E_STEP. */
    int (*run)(const struct sb_step *step, struct sb_step_run_context *context,
               struct sb_error *err);
};

/* True of a download that unpacks nothing: a file whose content is known before it is fetched. */
bool sb_step_downloads(const struct sb_step *step);

/* Puts the step's place before the error, "app.yaml:5:7: …"; returns -1. */
int sb_step_at(const struct sb_step *step, struct sb_error *err);

/* For check: says so when the path that the key of node gives could be in no layer. */
void sb_step_check_path(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                        const char *path);
/* True of a path with a name that means a removed file in a layer (.wh.NAME). */
bool sb_step_is_whiteout(const char *path);

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
