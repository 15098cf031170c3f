/*
 * layers/reuse: files of older trees that a tree being unpacked shares instead of writing them.
 *
 * An older tree is believed in nothing. A file of it that has the path, size, owner, mode, time and
 * extended attributes of an entry is read beside the entry's bytes, which are on their way through
 * the digests. When all are equal it gets one more link, in the new tree: no write, no space, one
 * page cache for both. When they stop being equal, what was is copied, by the kernel, and the rest
 * is written as always. No symlink in the older tree is followed (openat2, RESOLVE_BENEATH and
 * RESOLVE_NO_SYMLINKS), and only regular files are looked at.
 *
 * So two trees have an inode in common. That is safe because nobody writes to a tree: services and
 * builds see it as a read-only lower directory of an overlay, and unpacking sets the attributes of
 * files that it made itself, and of directories, which are never shared. Only a root who edits
 * files in the store by hand changes them in both.
 */
#ifndef SB_LAYERS_REUSE_H
#define SB_LAYERS_REUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "layers/content.h"
#include "layers/entry.h"
#include "layers/walk.h"

#define SB_REUSE_TREES 8

struct sb_reused {
    uint64_t files, bytes; /* the bytes as files count them */
};

struct sb_reuse;
struct sb_reuse *sb_reuse_new(void);
/* Takes over a directory's descriptor; the first added is asked first. False when there are
 * SB_REUSE_TREES already: it is closed. */
bool sb_reuse_add(struct sb_reuse *reuse, int tree);
size_t sb_reuse_count(const struct sb_reuse *reuse);
/* What was linked from the tree that was added as number `tree`, and from all. */
struct sb_reused sb_reuse_from(const struct sb_reuse *reuse, size_t tree);
struct sb_reused sb_reuse_total(const struct sb_reuse *reuse);
void sb_reuse_free(struct sb_reuse *reuse); /* NULL is allowed */

/* An older file that may be the entry; -1 when there is none, or a descriptor to close. */
int sb_reuse_open(struct sb_reuse *reuse, const struct sb_entry *entry);
/* Reads data for as long as it is what the file has. *out_same: it is, to the end. Otherwise, or if
 * linking fails, out is what sb_content_write goes on from, after sb_sparse_copy. */
int sb_reuse_compare(struct sb_reuse *reuse, int file, const struct sb_entry *entry,
                     struct sb_entry_data *data, struct sb_content_begun *out, bool *out_same,
                     struct sb_error *err);
/* Makes it `name` in dir, where nothing of that name may be: -1 and errno. */
int sb_reuse_link(struct sb_reuse *reuse, int file, const struct sb_entry *entry, int dir,
                  const char *name);

#endif
