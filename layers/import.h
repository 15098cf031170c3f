/*
 * layers/import: images from files of other tools into the store.
 *
 *     oci:PATH[:TAG]             a directory with an OCI image layout (another store, umoci,
 * buildah) oci-archive:FILE[:TAG]     the same in a tar, compressed or not
 *     docker-archive:FILE[:TAG]  what docker save writes
 *
 * Everything in them is foreign: every blob is verified while it is copied, and counts and sizes of
 * what is read into memory are bounded. Blobs that the store has already are not copied. An archive
 * is read once, from its beginning to its end, and may be a pipe; what it holds beside the image
 * that was asked for stays in the store as blobs that nothing refers to, until a prune.
 */
#ifndef SB_LAYERS_IMPORT_H
#define SB_LAYERS_IMPORT_H

#include <stdbool.h>

#include "base/error.h"
#include "layers/platform.h"
#include "layers/store.h"

/* True when source starts like one of the forms above. */
bool sb_import_is_source(const char *source);

/* The path in a source, without its tag; the caller's. NULL when it is none of the forms. */
char *sb_import_path(const char *source);

/* Brings in the image for the platform; NULL is this machine's. Without a TAG the source must have
 * one image only. out gets its manifest (media_type is a static string). Nothing is tagged. */
int sb_image_import_for(struct sb_store *store, const char *source,
                        const struct sb_platform *platform, struct sb_descriptor *out,
                        struct sb_error *err);
int sb_image_import(struct sb_store *store, const char *source, struct sb_descriptor *out,
                    struct sb_error *err);
/* An index with all of its images for Linux, where the source has one. */
int sb_image_import_whole(struct sb_store *store, const char *source, struct sb_descriptor *out,
                          struct sb_error *err);

#endif
