/*
 * context/copy: where the files of copy steps land, and those that download steps fetch, and a
 * layer made of them without a root file system.
 *
 * One function decides what a name becomes, sb_copy_place, whatever the layer is made from: it asks
 * a "ground" what is there. That is the tables of contents of the layers below (layers/contents.h)
 * for a layer without a root, what a base's config says of it (context/base_paths.h) where that
 * base isn't here, and the mounted root for a layer that has other steps too. What it decides is
 * in docs/recipe.md, "copy": in short, directories are entered, by links too, and keep owner and
 * mode; files and links replace one another; nothing else replaces anything.
 *
 *     sb_copy_scan      reads what the steps name in the context
 *     sb_copy_place     decides where it lands: the list of entries
 *     sb_copy_pack, or sb_copy_lay_out
 *
 * The finished list decides the layer's bytes entirely: its digest is what the cache key of a copy
 * layer holds, so such a layer stays cached when the layers below change in ways that it can't see.
 */
#ifndef SB_CONTEXT_COPY_H
#define SB_CONTEXT_COPY_H

#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "context/context.h"
#include "context/copy_list.h"
#include "context/path_set.h"
#include "document/recipe.h"
#include "layers/contents.h"
#include "layers/pack.h"

/* ---- what there is to copy ---- */

/* Where steps take files from. */
struct sb_copy_tree {
    struct sb_context *context; /* files of an image */
    struct sb_strings from;     /* what the step names of them, as it is called there */
};
struct sb_copy_from {
    struct sb_context *context; /* NULL: none is copied from */
    /* What a step takes that names a stage, a recipe or an image; belongs to data. May be NULL if
     * none does. */
    const struct sb_copy_tree *(*tree)(void *data, const struct sb_step *step,
                                       struct sb_error *err);
    void *data;
};
/* That of a step; NULL, and err. */
struct sb_context *sb_copy_context(const struct sb_copy_from *from, const struct sb_step *step,
                                   struct sb_error *err);

/* One source of a copy step, with all below it; or what a download step fetches (no inputs). */
struct sb_copy_source {
    const struct sb_step *step;
    struct sb_input *inputs; /* in the order of sb_path_order, the source itself first */
    size_t input_count;
    bool into; /* the step has several sources: they go below its destination */
};
struct sb_copy_sources {
    struct sb_copy_source *v;
    size_t n, cap;
    struct sb_arena arena; /* of the strings */
};
void sb_copy_sources_free(struct sb_copy_sources *sources);

/* steps: count copy steps, and download steps that unpack nothing. The steps must outlive the
 * result. An error names the step's place. */
int sb_copy_scan(const struct sb_step *steps, size_t count, const struct sb_copy_from *from,
                 struct sb_copy_sources *out, struct sb_error *err);

/* ---- where it lands ---- */

/* What is there already. */
struct sb_copy_ground {
    const struct sb_stack *stack; /* the layers below; NULL: a root file system, open as root */
    int root;
    /* Of a base in a registry the stack has what its config says, so that every machine decides the
     * same: no files, no ordinary directories deep down. These are asked for by unlisted; if that
     * is NULL, a link that seems to lead nowhere may lead to a directory. */
    bool partial;
    enum sb_path_known (*unlisted)(void *data, const char *path);
    /* And when that config says nothing, not even all links. Whatever lies where doubts says so is
     * looked for in the base's own tables of contents: whole gives a stack with these, for which
     * layers may be fetched; or, unless fetch, 0 when they aren't here. */
    bool (*doubts)(const char *path);
    int (*whole)(void *data, bool fetch, struct sb_stack *out, struct sb_error *err);
    void *data;
};

/* What the ground's stack has at a path, of which cursor is one. */
bool sb_copy_ground_find(const struct sb_copy_ground *ground, struct sb_stack_cursor *cursor,
                         const char *path, struct sb_entry *out);

/* Of two steps the later one wins, as if they had been done one after the other. What can't be is
 * an error with the step's place, the source, and what is in its way. The sources must outlive the
 * list. */
int sb_copy_place(const struct sb_copy_sources *sources, const struct sb_copy_ground *ground,
                  struct sb_copy_list *out, struct sb_error *err);

/* What would be copied, each under its name in the context: for a layer in which it is placed only
 * when it is its turn. The sources must outlive the list. */
int sb_copy_gather(const struct sb_copy_sources *sources, struct sb_copy_list *out,
                   struct sb_error *err);

/* Scans and places; the list has all it needs. */
int sb_copy_resolve(const struct sb_step *steps, size_t count, const struct sb_copy_from *from,
                    const struct sb_copy_ground *ground, struct sb_copy_list *out,
                    struct sb_error *err);

/* Where the directory that to names is, or would be made: its links followed. An error when
 * something else is there. Adds the directories that lead there, and itself. */
int sb_copy_place_directory(const struct sb_placing *placing, const struct sb_copy_ground *ground,
                            struct sb_copy_list *out, struct sb_error *err);

/* What is copied in one layer, with the listings: one for a layer of copies, else one for each of
 * its copy steps, in order. */
struct sb_copies {
    struct sb_copied {
        struct sb_copy_list list;
        struct sb_buf listing;
    } * v;
    size_t n, cap;
};
struct sb_copied *sb_copies_add(struct sb_copies *copies); /* valid until the next one */
void sb_copies_free(struct sb_copies *copies);

/* ---- making it so ---- */

/* Opens what a download step fetches; the descriptor, or -1. */
struct sb_copy_fetch {
    int (*open)(void *data, const struct sb_step *download, struct sb_error *err);
    void *data;
};

/* Packs the entries, with epoch as every mtime; fetch may be NULL if none is downloaded. A file
 * whose content is no longer what its entry says is SB_E_FAILED with SB_REASON_CHANGED: it changed
 * meanwhile; resolve again. */
int sb_copy_pack(const struct sb_copy_list *list, const struct sb_copy_from *from,
                 const struct sb_copy_fetch *fetch, struct sb_packer *packer, int64_t epoch,
                 struct sb_error *err);

/* Lays the entries out below the open root that was their ground, never leaving it. from may be
 * NULL if all is downloaded, fetch if nothing is. */
int sb_copy_lay_out(const struct sb_copy_list *list, const struct sb_copy_from *from,
                    const struct sb_copy_fetch *fetch, int root_fd, int64_t epoch,
                    struct sb_error *err);

#endif
