/*
 * layers/export: an image of the store as one file, for other tools.
 *
 *     struct sb_image image;
 *     sb_image_load(store, &descriptor, &image, &err);
 *     sb_image_export(store, &image, SB_EXPORT_OCI, &names, fd, "backend.tar", &err);
 *
 * The bytes depend on the image and the names alone. Every blob is verified as it is read; after an
 * error what was written is worthless. Nothing is unpacked on the way, and memory is bounded.
 */
#ifndef SB_LAYERS_EXPORT_H
#define SB_LAYERS_EXPORT_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/image.h"
#include "layers/image_index.h"
#include "layers/store.h"

#define SB_EXPORT_FORMS(X)                                                                         \
    X(SB_EXPORT_OCI, "oci-archive") /* an OCI image layout in a tar: podman, skopeo, crane */      \
    X(SB_EXPORT_DOCKER, "docker-archive") /* what docker load takes; its layers uncompressed */    \
    X(SB_EXPORT_ROOTFS, "rootfs")         /* the root file system that the layers make */

enum sb_export_form {
#define X(form, name) form,
    SB_EXPORT_FORMS(X)
#undef X
};

/* By its name as above; false when there is none of that name. */
bool sb_export_form_parse(const char *name, enum sb_export_form *out);

/* Writes the archive to fd, which may be a pipe; what names it in messages. names ("backend:v1")
 * are those the image gets in the archive; there may be none, and a root file system has none.
 *
 * A root file system comes layer by layer, so what is in one directory need not stand together: GNU
 * tar gets the times of directories right with --delay-directory-restore only. In that of a foreign
 * image a file may even come before its directory, when the layer that has the file does not
 * mention the directory. */
int sb_image_export(struct sb_store *store, const struct sb_image *image, enum sb_export_form form,
                    const struct sb_strings *names, int fd, const char *what, struct sb_error *err);

/* The same of an index, as an OCI layout: with all of its images, whose layers are there once. What
 * else is in it stays named, and is not in the archive. */
int sb_index_export(struct sb_store *store, const struct sb_image_index *index,
                    const struct sb_index_images *images, const struct sb_strings *names, int fd,
                    const char *what, struct sb_error *err);

#endif
