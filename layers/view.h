/*
 * layers/view: the files of an image as a container sees them, listed from the layers' tables of
 * contents without unpacking anything; a table that is missing is made from its blob.
 */
#ifndef SB_LAYERS_VIEW_H
#define SB_LAYERS_VIEW_H

#include <stddef.h>

#include "base/error.h"
#include "layers/contents.h"
#include "layers/entry.h"
#include "layers/image.h"
#include "layers/store.h"

struct sb_view;

int sb_view_open(struct sb_store *store, const struct sb_image *image, struct sb_view **out,
                 struct sb_error *err);
void sb_view_close(struct sb_view *view); /* NULL is allowed */

size_t sb_view_count(const struct sb_view *view);
/* Entries in byte order of paths, none of them a whiteout; *out_layer counts from the bottom, 0.
 * xattrs are not known. Strings live as long as the view. Directories that no layer mentions are
 * root's and 0755, and count for the highest layer that has something in them. */
void sb_view_get(const struct sb_view *view, size_t index, struct sb_entry *out, size_t *out_layer);
/* The first entry at path or after it. */
size_t sb_view_seek(const struct sb_view *view, const char *path);

/* The table of one of the image's layers; belongs to the view. */
const struct sb_contents *sb_view_contents(const struct sb_view *view, size_t layer);

/* The entry that holds the content of a hard link: itself if it is none. False when there is no
 * such file. */
bool sb_view_resolve(const struct sb_view *view, struct sb_entry *entry, size_t *layer);

#endif
