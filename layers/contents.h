/*
 * layers/contents: the table of contents of a layer, kept beside the store by diff ID.
 *
 * It answers questions about a layer that is not unpacked, or no longer here at all: which
 * directories, links and files it holds, with their metadata. A copy layer asks it where its
 * destination really lies (a symlink in the base), `diff` and `inspect` list from it. Sorted by
 * path, so a look-up in the mapped file is a binary search. Format: docs/formats.md, "contents".
 */
#ifndef SB_LAYERS_CONTENTS_H
#define SB_LAYERS_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"
#include "layers/entry.h"
#include "layers/store.h"

/* ---- writing ---- */
struct sb_layer;
struct sb_contents_writer;
struct sb_contents_writer *sb_contents_start(void);
/* Copies what it needs. Any order; whiteouts are entries like others (their ".wh." names). A later
 * entry of the same path replaces the earlier one. */
void sb_contents_add(struct sb_contents_writer *writer, const struct sb_entry *entry);
/* Publishes as the contents of diff_id; frees the writer in every case. */
int sb_contents_finish(struct sb_contents_writer *writer, struct sb_store *store,
                       const struct sb_digest *diff_id, struct sb_error *err);
void sb_contents_abort(struct sb_contents_writer *writer);
/* What was added, in memory alone and of no layer; frees the writer. NULL when there are more names
 * than a table can hold. */
struct sb_contents *sb_contents_from_writer(struct sb_contents_writer *writer);

/* ---- reading ---- */
struct sb_contents;
/* SB_E_NOT_FOUND when there is none for this diff ID (sb_layer_contents in layers/unpack.h makes it
 * from the blob). A damaged file is SB_E_INTEGRITY. */
int sb_contents_open(struct sb_store *store, const struct sb_digest *diff_id,
                     struct sb_contents **out, struct sb_error *err);
/* One that came from elsewhere, whole at the beginning of a file, and is used without being made
 * the store's: checked so far that reading it can do no harm. SB_E_INTEGRITY when it is damaged, or
 * of another layer. fd may be closed afterwards. */
int sb_contents_open_foreign(int fd, const struct sb_digest *diff_id, struct sb_contents **out,
                             struct sb_error *err);
/* The file as it is, to be sent elsewhere; belongs to contents. */
const void *sb_contents_bytes(const struct sb_contents *contents, size_t *out_len);
void sb_contents_close(struct sb_contents *contents);

size_t sb_contents_count(const struct sb_contents *contents);
/* What its names take of an image's budget (layers/entry.h). */
uint64_t sb_contents_names(const struct sb_contents *contents);
/* Entries in order of path; xattrs are not kept. Strings live as long as contents. */
void sb_contents_get(const struct sb_contents *contents, size_t index, struct sb_entry *out);
/* The first entry whose path is path or comes after it: where what begins with path starts. */
size_t sb_contents_seek(const struct sb_contents *contents, const char *path);
/* The same among the entries from the first index up to the second. */
size_t sb_contents_seek_between(const struct sb_contents *contents, size_t low, size_t high,
                                const char *path);
/* False when the layer has no entry of that very path. */
bool sb_contents_find(const struct sb_contents *contents, const char *path, struct sb_entry *out);

/* ---- a stack of layers, lowest first, seen as the file system it makes ---- */
struct sb_stack {
    struct sb_contents **v;
    size_t n;
};
/* The visible entry at path ("a/b/c"; whiteouts and opaque directories honoured), following no
 * symlink at all; false when there is none. An implicit directory (only known as the parent of an
 * entry) is found too, as mode 0755, root's, and so is the root, "": the path in *out is then the
 * one given. */
bool sb_stack_find(const struct sb_stack *stack, const char *path, struct sb_entry *out);
/* The same for one path after the other: cheap for those that are in the directory of the one
 * before. The stack must outlive it. */
struct sb_stack_cursor;
struct sb_stack_cursor *sb_stack_cursor_new(const struct sb_stack *stack);
bool sb_stack_cursor_find(struct sb_stack_cursor *cursor, const char *path, struct sb_entry *out);
/* Whether nothing above the lowest layer hides what that one may have at the path that was looked
 * for last, and not found. */
bool sb_stack_cursor_reached(const struct sb_stack_cursor *cursor);
void sb_stack_cursor_free(struct sb_stack_cursor *cursor); /* NULL is allowed */

/* Follows every symlink within the root, as a chroot would, including the last component; parts
 * that do not exist are kept as they are. At most 40 links, then SB_E_FAILED. The result is
 * relative ("" is the root) and the caller's to free. */
int sb_stack_resolve(const struct sb_stack *stack, const char *path, char **out,
                     struct sb_error *err);
/* The same; adds to *steps the directories that were gone through, counted in each layer. */
int sb_stack_resolve_counted(const struct sb_stack *stack, const char *path, uint64_t *steps,
                             char **out, struct sb_error *err);

/* Whatever else looks like a file system: find as sb_stack_find; cost is what one look-up counts
 * for each directory on the way. */
struct sb_lookup {
    bool (*find)(void *data, const char *path, struct sb_entry *out);
    void *data;
    size_t cost;
};
int sb_lookup_resolve(const struct sb_lookup *lookup, const char *path, uint64_t *steps, char **out,
                      struct sb_error *err);

#endif
