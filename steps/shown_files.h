/*
 * steps/shown_files: files of a root that are shown with another time than they have, while a
 * program runs.
 */
#ifndef SB_STEPS_SHOWN_FILES_H
#define SB_STEPS_SHOWN_FILES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "layers/store.h"
#include "sandbox/root.h"

struct sb_shown_file {
    char *path;        /* "a/b" */
    int64_t time, was; /* nanoseconds since 1970 */
    bool done;
};

struct sb_shown_files {
    struct sb_shown_file *v;
    size_t n, cap;
};

/* name: as steps/inputs.h writes it. */
void sb_shown_files_add(struct sb_shown_files *files, const char *name, int64_t time);

/* Touches what lies in the upper directory, copies what lies below and shows it above. What can't
 * be shown is taken out of times, and *told becomes false, unless nothing is there. */
int sb_shown_files_apply(struct sb_shown_files *files, struct sb_root *root, json_t *times,
                         bool *told, struct sb_error *err);
/* Gives those that the program left alone, or copied up, the time that they had. */
void sb_shown_files_restore(struct sb_shown_files *files, const struct sb_root *root);
void sb_shown_files_free(struct sb_shown_files *files);

/* Makes all in a cache directory older than any file of an image, in the order that it has. path:
 * relative to STORE/sbuild. */
int sb_shown_files_date_back(struct sb_store *store, const char *path, struct sb_error *err);

#endif
