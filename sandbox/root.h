/*
 * sandbox/root: a root file system for steps: unpacked layers below, a new directory on top.
 *
 * An overlay mount, in this process's own mount namespace (sandbox/userns.h), so that no mount
 * outlives the process however it ends. Below all layers lies a directory of stubs, empty at first:
 * sb_root_points adds mount points there (proc, sys, dev, run/secrets, …), so that
 * they exist in the merged view and never appear in the new layer. /etc/hosts and /etc/resolv.conf
 * are no mounts: packages replace them, and nobody can rename a file over a mount.
 */
#ifndef SB_SANDBOX_ROOT_H
#define SB_SANDBOX_ROOT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/store.h"

struct sb_root;

/* trees: absolute paths of unpacked layers, lowest first (may be empty: from scratch). */
int sb_root_mount(struct sb_store *store, const struct sb_strings *trees, struct sb_root **out,
                  struct sb_error *err);
const char *sb_root_path(const struct sb_root *root);  /* the merged root */
const char *sb_root_upper(const struct sb_root *root); /* what steps wrote; a tree once unmounted */

/* Of the layers below, lowest first, each once. */
const struct sb_strings *sb_root_trees(const struct sb_root *root);

/* An empty directory beside the root, for sb_root_show; the caller's to free. */
char *sb_root_make_shown(struct sb_root *root, struct sb_error *err);
/* Mounts the root anew with that directory above all layers and below what steps write; NULL:
 * without one. Nobody may have a descriptor of the root open, or run in it. */
int sb_root_show(struct sb_root *root, const char *directory, struct sb_error *err);

/* A place in the root where something is to be mounted. */
struct sb_root_point {
    const char *path; /* absolute; symlinks are followed within the root */
    bool directory;   /* else a file */
    char *resolved;   /* filled: the same place, without symlinks; the caller's to free */
    bool made;        /* filled: private to root_points.c */
};
/* Makes the places exist. May mount the root anew: nobody may have a descriptor of it open, or run
 * in it. */
int sb_root_points(struct sb_root *root, struct sb_root_point *points, size_t count,
                   struct sb_error *err);
/* Afterwards: takes away what could not be done by stubs (a place that this layer or one below has
 * removed), and frees the paths. */
void sb_root_points_drop(struct sb_root *root, struct sb_root_point *points, size_t count);

/* A file of ours that stands in the root while one program runs, in the place of the image's own or
 * of none. It may be written to, replaced and removed like any other. */
struct sb_root_file {
    const char *path; /* absolute; symlinks are followed within the root */
    const char *text; /* what it holds */
    size_t len;
    size_t ours; /* that many of its first bytes are never the image's; the others are what the
                    image's own file says */
    bool secret; /* nothing of it is the image's, nor what a program makes of it, if a file: but
                    a symlink in its place, or that it was removed */
    bool lost;   /* filled, of a secret one: a program wrote to it in vain */
    struct sb_root_file_place *place; /* private to root_files.c */
};
/* As with sb_root_points nobody may have a descriptor of the root open. */
int sb_root_files_place(struct sb_root *root, struct sb_root_file *files, size_t count,
                        struct sb_error *err);
/* Afterwards: what the program left alone leaves no trace, what it changed is the image's. Also
 * after a failure of the above. (sb_root_clean removes copies of a secret one.) */
int sb_root_files_take(struct sb_root *root, struct sb_root_file *files, size_t count,
                       struct sb_error *err);

/* The upper directory stays, and belongs to the store's tmp until sb_tree_adopt takes it. */
int sb_root_unmount(struct sb_root *root, struct sb_error *err);
/* Unmounts if still mounted and removes all that wasn't adopted. NULL is allowed. */
void sb_root_free(struct sb_root *root);

/* Directories, resolved in the root, in which programs that ran there leave their traces. */
enum sb_root_trace {
    SB_ROOT_HOME,  /* $HOME; /root is one anyway */
    SB_ROOT_CACHE, /* $XDG_CACHE_HOME */
    SB_ROOT_CARGO, /* $CARGO_HOME */
};
void sb_root_note(struct sb_root *root, enum sb_root_trace what, const char *path);

/* Removes from the upper directory, once unmounted, what package managers leave and what differs
 * between two builds (sandbox/clean.c has the list; docs/recipe.md, "What is removed"): what this
 * layer wrote, and nothing else. A file of a layer below that it had only changed is what it was.
 */
int sb_root_clean(struct sb_root *root, struct sb_error *err);

#endif
