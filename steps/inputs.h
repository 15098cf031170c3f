/*
 * steps/inputs: what files a program of a step had before it, compared with what another one
 * had, who left products in a directory that is kept (a cache), or earlier in the same layer.
 *
 * Kept beside a cache directory (docs/formats.md, "Caches"), and in memory within a layer.
 */
#ifndef SB_STEPS_INPUTS_H
#define SB_STEPS_INPUTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/store.h"

struct sb_inputs {
    json_t *below; /* diff IDs of the layers below, lowest first; "" for one that has none yet */
    json_t *files; /* path → digest, of what steps that run nothing laid out in this layer */
    json_t *times; /* path → nanoseconds: files that are shown with a time of their own */
};

/* Which files of the new layer were laid out; all others a program wrote. */
enum sb_inputs_dates {
    SB_INPUTS_NONE,
    SB_INPUTS_EPOCH, /* those that have the epoch as their time */
    SB_INPUTS_OLD,   /* those that have an earlier one, too */
};

/* trees: of the layers below. upper: the new layer's directory. */
int sb_inputs_take(const struct sb_strings *trees, const char *upper, enum sb_inputs_dates dates,
                   int64_t epoch, struct sb_inputs *out, struct sb_error *err);
void sb_inputs_free(struct sb_inputs *inputs);

/* A missing or damaged file: false. */
bool sb_inputs_read(struct sb_store *store, const char *path, struct sb_inputs *out);
int sb_inputs_write(struct sb_store *store, const char *path, const struct sb_inputs *inputs,
                    struct sb_error *err);

/* What differs now: paths are added to changed, an object. False when it can't be told, or would
 * take too long: then anything may have changed. merged: the root, whole, as it is now. */
struct sb_inputs_site {
    struct sb_store *store;
    const struct sb_strings *trees;
    const char *merged;
    int64_t epoch;
};
bool sb_inputs_compare(const struct sb_inputs_site *site, const struct sb_inputs *before,
                       const struct sb_inputs *now, json_t *changed);

/* Whether two regular files have the same bytes; takes what was read off *budget. */
bool sb_inputs_same_bytes(int a, int b, uint64_t *budget);
/* The name of a path in these objects, and the path of a name; the caller's to free. */
char *sb_inputs_name(const char *path);
char *sb_inputs_path(const char *name);

#endif
