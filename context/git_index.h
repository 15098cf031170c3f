/*
 * context/git_index: the tracked files of a git checkout, from its index, and their state.
 *
 * Just as much of the format as it takes to list paths with what git knew of the files (git's
 * Documentation/gitformat-index.txt; versions 2 to 4, SHA-1 objects). What is not understood with
 * certainty, a split or sparse index, is a plain "no": the caller then asks git.
 */
#ifndef SB_CONTEXT_GIT_INDEX_H
#define SB_CONTEXT_GIT_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/digest.h"

struct sb_git_index_entry {
    const char *path; /* lives until the next call */
    uint32_t mode;    /* SB_GIT_SUBMODULE, or of a regular file or a symbolic link */
    uint32_t ctime[2], mtime[2], inode, size; /* when git last saw that the file was this; seconds
                                                 and nanoseconds, the lower bits of the rest */
    const unsigned char *object;              /* 20 bytes */
    bool assumed, skipped; /* git was told not to look at the file; nor that it isn't there */
};
#define SB_GIT_SUBMODULE 0160000

/* Called for each entry; false ends the reading. */
typedef bool sb_git_index_visit(void *data, const struct sb_git_index_entry *entry);

/* Reads an index from memory; false when it is damaged, of another kind, or when visit said so. */
bool sb_git_index_read(const void *bytes, size_t len, sb_git_index_visit *visit, void *data);

/* A digest of the index of git_dir and of the lstat of every file it lists below top. False when
 * the index can't be read as above, when there are submodules, or when something changed so shortly
 * before started_ns (a real time) that its next change may not show. */
bool sb_git_tree_state(const char *git_dir, const char *top, int64_t started_ns,
                       struct sb_digest *out);

/* Whether a file is as git saw it, as far as stat can tell. */
bool sb_git_index_matches(const struct sb_git_index_entry *entry, const struct stat *st);

/* Appends the index of git_dir; false when it is none that can be read. */
bool sb_git_index_load(const char *git_dir, struct sb_buf *out, struct stat *out_stat);

/* Could a change right after started_ns leave the same time? */
bool sb_git_is_racy(int64_t changed_ns, int64_t started_ns);

#endif
