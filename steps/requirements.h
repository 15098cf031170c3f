/*
 * steps/requirements: what pip's requirements files name in the context: further files (-r, -c),
 * projects (./pkg, -e .), archives and directories of archives (--find-links).
 *
 * They are read as pip reads them: lines that go on, comments, words in quotes; what -r and -c name
 * is relative to the file, projects and archives to the working directory, which is the context;
 * --find-links to the one or the other. URLs, and absolute paths, which are the image's, are no
 * inputs.
 */
#ifndef SB_STEPS_REQUIREMENTS_H
#define SB_STEPS_REQUIREMENTS_H

#include "context/context.h"
#include "document/step.h"

#define SB_REQUIREMENTS_SIZE_LIMIT (4u << 20) /* bytes of one file */

/* pip: [requirement specifiers] or {requirements, constraints, project, packages, python,
 * index_url, extra_index_urls, find_links, target}. */
struct sb_pip {
    struct sb_strings requirements, constraints; /* files of the context */
    struct sb_strings projects; /* directories or archives of the context, maybe with "[extra]" */
    struct sb_strings packages;
    char *python;    /* default "python3" */
    char *index_url; /* NULL: PyPI, or what sbuild.yaml's pip mirror says */
    struct sb_strings extra_index_urls;
    char *find_links; /* a directory of the context with wheels; then no network is needed */
    char *target;     /* --target; NULL: the system's site-packages */
};

/* Paths in the context: clean, each once. */
struct sb_requirements {
    struct sb_strings files;
    struct sb_strings projects; /* directories */
    struct sb_strings archives; /* files */
    struct sb_strings links;    /* directories or files of --find-links, and find_links: */
};

/* Of a step, and all that it names. What is missing, leads out of the context or in a circle is
 * SB_E_RECIPE or SB_E_NOT_FOUND, with the file and the line that name it. */
int sb_requirements_read(const struct sb_pip *pip, const struct sb_context *context,
                         struct sb_requirements *out, struct sb_error *err);
void sb_requirements_free(struct sb_requirements *requirements);

/* Appends what of the context all these are. Of projects without what version control, tests and
 * builds leave in them. */
int sb_requirements_scan(const struct sb_requirements *requirements, struct sb_context *context,
                         struct sb_input_list *out, struct sb_error *err);

/* Whether that would be found; with deep, also whether all may be read. Nothing is hashed. */
int sb_requirements_look(const struct sb_requirements *requirements, struct sb_context *context,
                         bool deep, struct sb_error *err);

/* Makes "-e ./pkg" of the text "./pkg", in as many bytes: the source of what is linked to would be
 * gone with the step. */
void sb_requirements_unlink(char *text);

/* ".[dev]" without what is in brackets; the caller's. */
char *sb_requirements_without_extras(const char *path);

#endif
