/*
 * context/copy_list: what a layer of copies consists of, entry for entry: made by context/copy,
 * which decides what belongs there.
 */
#ifndef SB_CONTEXT_COPY_LIST_H
#define SB_CONTEXT_COPY_LIST_H

#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include "document/recipe.h"
#include "layers/entry.h"

struct sb_copy_entry {
    const char *path; /* in the image, relative to its root */
    const char
        *source; /* in the context; NULL for a directory that only leads to the destination */
    mode_t mode; /* type and final permissions */
    uint32_t uid, gid;
    uint64_t size;
    struct sb_digest digest;       /* of a regular file */
    const char *link;              /* of a symlink */
    const struct sb_xattr *xattrs; /* of a file or directory of an image, whose they are */
    size_t xattr_count;
    const struct sb_step *step;     /* that it is for */
    const struct sb_step *download; /* that fetches this file: its size isn't known before */
};

struct sb_copy_list {
    struct sb_copy_entry *v; /* sorted by sb_path_order, one entry a path */
    size_t n, cap;
    struct sb_arena arena;
};
void sb_copy_list_free(struct sb_copy_list *list);

/* One line an entry: "PATH\0TYPE MODE UID GID DIGEST\n" (of a link: its target's digest), with
 * " DIGEST" of its extended attributes, if it has any, before its end; its digest identifies the
 * content. Kept beside the cache record, it is what tells later which file changed. */
void sb_copy_listing(const struct sb_copy_list *list, struct sb_buf *out);

/* Sorts, and leaves one entry a path. */
int sb_copy_settle(struct sb_copy_list *list, struct sb_error *err);

/* Every machine makes the layer as the base's config has it; one that knows better says so: an
 * error when something lands elsewhere in real. Both are of the same sources. */
int sb_copy_compare(const struct sb_copy_list *list, const struct sb_copy_list *real,
                    struct sb_error *err);

#endif
