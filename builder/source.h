/*
 * builder/source: the image that from: or a command line names, wherever it is.
 *
 *     oci:PATH[:TAG]          an OCI image layout
 *     oci-archive:FILE[:TAG]  the same in a tar
 *     docker-archive:FILE     what `docker save` writes
 *     anything else           a tag or digest in the store
 */
#ifndef SB_BUILDER_SOURCE_H
#define SB_BUILDER_SOURCE_H

#include "base/error.h"
#include "builder/recipe.h"
#include "layers/image.h"

/* Loads the image, copying it into the store first when it comes from elsewhere. */
int sb_source_load(struct sb_store *store, const struct sb_from *from, struct sb_image *out,
                   struct sb_error *err);
/* The same by name alone; out is the manifest's descriptor. */
int sb_source_find(struct sb_store *store, const char *name, struct sb_descriptor *out,
                   struct sb_error *err);

#endif
