/*
 * builder/git_index: the tracked files of a git checkout, from its index, and their state.
 *
 * Just as much of the format as it takes to list paths (git's Documentation/gitformat-index.txt;
 * versions 2 to 4, SHA-1 objects). What is not understood with certainty — submodules, a split or
 * sparse index — is a plain "no": the caller then asks git.
 */
#ifndef SB_BUILDER_GIT_INDEX_H
#define SB_BUILDER_GIT_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

/* Called for each entry; false ends the reading. path lives until the next call. */
typedef bool sb_git_index_visit(void *data, const char *path);

/* Reads an index from memory; false when it is damaged, of another kind, or when visit said so. */
bool sb_git_index_read(const void *bytes, size_t len, sb_git_index_visit *visit, void *data);

/* A digest of the index of git_dir and of the lstat of every file it lists below top. False when
 * the index can't be read as above, or when something changed so shortly before started_ns (a real
 * time) that its next change may not show. */
bool sb_git_tree_state(const char *git_dir, const char *top, int64_t started_ns,
                       struct sb_digest *out);

/* Could a change right after started_ns leave the same time? */
bool sb_git_is_racy(int64_t changed_ns, int64_t started_ns);

#endif
