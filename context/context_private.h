/*
 * What context/context.c, context/context_select.c and context/context_missing.c share.
 */
#ifndef SB_CONTEXT_CONTEXT_PRIVATE_H
#define SB_CONTEXT_CONTEXT_PRIVATE_H

#include "context/context.h"
#include "context/scan.h"

struct sb_context {
    char *path; /* absolute, without links; or what is said of a tree */
    int fd;
    struct stat store; /* its directory, which every build changes: no input of one */
    struct sb_outputs outputs;
    struct sb_strings left_out;  /* of these */
    struct sb_ignore *ignore;    /* NULL when there is no ignore file */
    const char *ignore_name;     /* of that file, or of the one that could be made */
    struct sb_statcache *stats;  /* NULL: none is kept */
    struct sb_context_tree tree; /* find: NULL unless it is one */
    struct sb_context_listener listener;
};

/* A source as a recipe writes it, cleaned; NULL when it leads out of the context. */
char *sb_context_clean(const struct sb_context *context, const char *source, struct sb_error *err);

/* A source that ends in "/" is a directory: if it is a link, the one that it leads to, within the
 * context. Replaces *clean. */
int sb_context_follow(struct sb_context *context, const char *source, char **clean,
                      struct sb_error *err);

/* Whether the path is part of what the ignore file leaves of the context: 1 or 0; -1 and err. An
 * excluded directory is when something below it is taken back. */
int sb_context_has(const struct sb_context *context, const char *path, bool directory,
                   struct sb_error *err);

/* One source, clean and without wildcards. list is appended to; include, exclude and check are as
 * in struct sb_scan. */
int sb_context_take(struct sb_context *context, const char *source, const struct sb_scan *how,
                    struct sb_input_list *list, struct sb_error *err);

/* err is of a path that can't be reached: adds what was probably meant. Returns -1. */
int sb_context_hint_missing(const struct sb_context *context, const char *path,
                            struct sb_error *err);

#endif
