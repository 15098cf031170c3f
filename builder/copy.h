/*
 * builder/copy: where the files of copy steps land, and those that download steps fetch, and a
 * layer made of them without a root file system.
 *
 * The destination is looked up in the tables of contents of the layers below (layers/contents.h),
 * so that "to: /lib/x" goes to usr/lib/x where /lib is a symlink, a single file goes into a
 * directory that the base has, and parent directories keep the base's mode and owner. The finished
 * list of entries decides the layer's bytes entirely: its digest is what the cache key of a copy
 * layer holds, so such a layer stays cached when the layers below change in ways that it can't see.
 */
#ifndef SB_BUILDER_COPY_H
#define SB_BUILDER_COPY_H

#include <stdint.h>

#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"
#include "builder/context.h"
#include "builder/recipe.h"
#include "layers/contents.h"
#include "layers/pack.h"

struct sb_copy_entry {
    const char *path; /* in the image, relative to its root */
    const char
        *source; /* in the context; NULL for a directory that only leads to the destination */
    mode_t mode; /* type and final permissions */
    uint32_t uid, gid;
    uint64_t size;
    struct sb_digest digest;        /* of a regular file */
    const char *link;               /* of a symlink */
    const struct sb_step *download; /* that fetches this file: its size isn't known before */
};

struct sb_copy_list {
    struct sb_copy_entry *v; /* sorted by sb_path_order, one entry a path */
    size_t n, cap;
    struct sb_arena arena;
};
void sb_copy_list_free(struct sb_copy_list *list);

/* steps: count copy steps, and download steps that unpack nothing, the later ones winning. stack:
 * the layers below. The steps must outlive the list. */
int sb_copy_resolve(const struct sb_step *steps, size_t count, struct sb_context *context,
                    const struct sb_stack *stack, struct sb_copy_list *out, struct sb_error *err);

/* One line an entry: "PATH\0TYPE MODE UID GID DIGEST\n" (of a link: its target's digest); its
 * digest identifies the content. Kept beside the cache record, it is what tells later which file
 * changed. */
void sb_copy_listing(const struct sb_copy_list *list, struct sb_buf *out);

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

/* Opens what a download step fetches; the descriptor, or -1. */
struct sb_copy_fetch {
    int (*open)(void *data, const struct sb_step *download, struct sb_error *err);
    void *data;
};

/* Packs the entries, with epoch as every mtime; fetch may be NULL if none is downloaded. A file
 * whose content is no longer what its entry says is SB_E_FAILED with os_errno ESTALE: it changed
 * meanwhile; resolve again. */
int sb_copy_pack(const struct sb_copy_list *list, const struct sb_context *context,
                 const struct sb_copy_fetch *fetch, struct sb_packer *packer, int64_t epoch,
                 struct sb_error *err);

/* Lays the entries out below an open root directory (a layer that has other steps too), never
 * leaving it. */
int sb_copy_lay_out(const struct sb_copy_list *list, const struct sb_context *context, int root_fd,
                    int64_t epoch, struct sb_error *err);

#endif
