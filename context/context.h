/*
 * context/context: the directory that copy steps take from: what is in it, and with which content.
 *
 * Honours the context's .sbuildignore, or else .dockerignore. Nothing outside the directory is
 * read: sources are relative and stay below it, and symbolic links are kept as links, never
 * followed.
 */
#ifndef SB_CONTEXT_CONTEXT_H
#define SB_CONTEXT_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include "context/input.h"
#include "layers/store.h"

struct sb_context;
struct sb_ignore; /* document/ignore.h */

/* Opens a context and its stat cache. */
int sb_context_open(const char *directory, struct sb_store *store, struct sb_context **out,
                    struct sb_error *err);
/* Files of an image, laid out in a directory: nothing is left out of them, and who knows says what
 * they are in the image. */
struct sb_entry;
struct sb_context_tree {
    const char *title; /* for messages: "the stage wheels" */
    /* Owner, permissions and extended attributes, which are the tree's, of what is at a path;
     * false: it isn't known there. */
    bool (*find)(void *data, const char *path, struct sb_entry *out);
    void *data;
};
/* Takes over fd. */
struct sb_context *sb_context_of_tree(int fd, const struct sb_context_tree *tree);
/* Saves the stat cache, and frees. NULL is allowed. */
void sb_context_close(struct sb_context *context);

int sb_context_fd(const struct sb_context *context);
const char *sb_context_path(const struct sb_context *context);

/* Files that were left out so far, as sbuild itself wrote them (context/outputs.h). */
const struct sb_strings *sb_context_left_out(const struct sb_context *context);

/* Appends what a path names, in the order of sb_path_order: the source itself first, then all
 * below. A source that does not exist, or that is left out by the ignore file, is an error that
 * says which. exclude: relative to the source; may be NULL. */
int sb_context_scan(struct sb_context *context, const char *source, const struct sb_ignore *exclude,
                    struct sb_input_list *out, struct sb_error *err);

/* ---- what a copy step takes ---- */

struct sb_selection {
    const struct sb_strings *from;              /* paths and patterns, relative to the context */
    const struct sb_strings *include, *exclude; /* patterns, relative to each source; may be NULL */
    const char *place; /* of the step, for warnings: "app.yaml:7"; may be NULL */
};

struct sb_input_lists { /* one for each source, in the order of from */
    struct sb_input_list *v;
    size_t n, cap;
};
void sb_input_lists_free(struct sb_input_lists *lists);

/* What the sources name. One that exists as it is written is that path; else wildcards are looked
 * for in what the ignore file leaves of the context, and what lies below a match is part of it. A
 * file that a wildcard found is held against include and exclude by its name. A source that gives
 * nothing is an error. */
int sb_context_select(struct sb_context *context, const struct sb_selection *selection,
                      struct sb_input_lists *out, struct sb_error *err);
/* Whether sb_context_select would find all sources; with deep, also whether all may be read.
 * Nothing is hashed. */
int sb_context_check(struct sb_context *context, const struct sb_selection *selection, bool deep,
                     struct sb_error *err);

/* Whether sb_context_scan would find the path, and it is no link; deep as above. */
int sb_context_check_path(struct sb_context *context, const char *path,
                          const struct sb_ignore *exclude, bool deep, struct sb_error *err);

/* ---- who is told ---- */

void sb_context_listen(struct sb_context *context, const struct sb_context_listener *listener);

#endif
