/*
 * builder/context: the directory that copy steps take from: what is in it, and with which content.
 *
 * Honours the context's .sbuildignore, or else .dockerignore. Nothing outside the directory is
 * read: sources are relative and stay below it, and symbolic links are kept as links, never
 * followed.
 */
#ifndef SB_BUILDER_CONTEXT_H
#define SB_BUILDER_CONTEXT_H

#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include "builder/ignore.h"
#include "layers/store.h"

struct sb_context;

/* Opens a context and its stat cache. */
int sb_context_open(const char *directory, struct sb_store *store, struct sb_context **out,
                    struct sb_error *err);
/* Saves the stat cache, and frees. NULL is allowed. */
void sb_context_close(struct sb_context *context);

int sb_context_fd(const struct sb_context *context);
const char *sb_context_path(const struct sb_context *context);

/* Files that were left out so far, as sbuild itself wrote them (builder/outputs.h). */
const struct sb_strings *sb_context_left_out(const struct sb_context *context);

struct sb_input {
    const char *path;     /* in the context: "src/app/main.py" */
    const char *relative; /* below the source that found it: "main.py"; "" for the source itself */
    mode_t mode;          /* a regular file, directory or symbolic link, with its permissions */
    uint64_t size;
    struct sb_digest digest; /* of a regular file's content */
    const char *link;        /* a symlink's target */
};

struct sb_input_list {
    struct sb_input *v;
    size_t n, cap;
    struct sb_arena arena; /* of the strings */
};
void sb_input_list_free(struct sb_input_list *list);

/* Appends what a source names, in the order of sb_path_order: the source itself first, then all
 * below. Patterns with * ? [ ] are expanded by sb_context_expand before. include and exclude are
 * relative to the source and may be NULL. A source that does not exist, or that is left out by the
 * ignore file, is an error that says which. */
int sb_context_scan(struct sb_context *context, const char *source, const struct sb_ignore *include,
                    const struct sb_ignore *exclude, struct sb_input_list *out,
                    struct sb_error *err);

/* The paths that a source with wildcards matches (Go's path.Match, by component), sorted; one
 * without wildcards is itself. No match at all is an error. */
int sb_context_expand(struct sb_context *context, const char *source, struct sb_strings *out,
                      struct sb_error *err);

#endif
