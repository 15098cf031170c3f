/*
 * document/project: which files of this machine a checkout may name.
 *
 * Recipes are written by one person and built by another. What a recipe names (its context, the
 * recipes and layouts that it stands on, what lies beside it) is therefore read only beneath its
 * project: the directory of the git checkout that it lies in, or else its own. Whoever builds may
 * allow more: by --allow DIR, or by trust: [DIR] in their own settings, which makes DIR the project
 * of all that is beneath it.
 *
 *     struct sb_project project;
 *     const struct sb_project_trust trust = {.allowed = &request->allow};
 *     if (sb_project_find("recipes", &trust, &project, &err) < 0) …
 *     sb_project_read(&project, "recipes/base.yaml", limit, &text, &st, &err)
 *     sb_project_free(&project);
 */
#ifndef SB_DOCUMENT_PROJECT_H
#define SB_DOCUMENT_PROJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/error.h"

/* What the person who builds said; each may be NULL. */
struct sb_project_trust {
    const struct sb_strings *allowed; /* --allow: must be there */
    const struct sb_strings
        *trusted; /* trust: of their settings; what is missing counts for none */
};

struct sb_project {
    char *directory;         /* that was asked about; real, as all paths here */
    char *top;               /* of the checkout; or the directory itself */
    struct sb_strings roots; /* beneath which files may be named: top, and what is allowed */
    const char *trusted;     /* the directory of trust: that it lies beneath; NULL: none */
};

/* directory: of a recipe. */
int sb_project_find(const char *directory, const struct sb_project_trust *trust,
                    struct sb_project *out, struct sb_error *err);
void sb_project_free(struct sb_project *project);

/* A path that a recipe named (relative to the working directory, or absolute), without links; the
 * caller's. NULL when it is missing (SB_E_NOT_FOUND), or lies outside (SB_E_RECIPE, which says how
 * to allow it). */
char *sb_project_resolve(const struct sb_project *project, const char *path, struct sb_error *err);

/* Appends a regular file that sb_project_resolve finds. out may be NULL. */
int sb_project_read(const struct sb_project *project, const char *path, size_t max,
                    struct sb_buf *text, struct stat *out, struct sb_error *err);

#endif
