/*
 * builder/source: the image that from: or a command line names, wherever it is.
 *
 *     oci:PATH[:TAG]          an OCI image layout
 *     oci-archive:FILE[:TAG]  the same in a tar
 *     docker-archive:FILE     what `docker save` writes
 *     HOST/REPOSITORY…        an image of a registry
 *     anything else           a tag or digest in the store; for from: else an image of docker.io
 *
 * Of an image in a registry only manifest and config are fetched: its layers stay where they are
 * until somebody opens one (layers/origin.h).
 */
#ifndef SB_BUILDER_SOURCE_H
#define SB_BUILDER_SOURCE_H

#include "base/error.h"
#include "document/recipe.h"
#include "layers/image.h"
#include "registry/reference.h"
#include "registry/remote.h"

/* Where bases are looked for. */
struct sb_source_site {
    struct sb_store *store;
    struct sb_registry *registry;       /* NULL: none is asked */
    const struct sb_platform *platform; /* that the image is to be for; NULL: this machine's */
};

struct sb_source {
    struct sb_image image;
    char *pinned;    /* "host/repository:tag@sha256:…" of an image in a registry; else NULL */
    char *reference; /* of one that the recipe's lock file should have, and has not; else NULL */
};
void sb_source_free(struct sb_source *source);

/* Loads the base of a recipe, whose from: is an image. A file of this machine is copied into the
 * store first. A name of a registry stands for the digest in the recipe's lock file
 * (builder/lockfile.h), or else for what the registry says now. */
int sb_source_load(const struct sb_source_site *site, const struct sb_recipe *recipe,
                   struct sb_source *out, struct sb_error *err);

/* The name that a recipe's base has in a registry, whole and by tag or digest. 1; 0 when its base
 * can only be, or is, somewhere else. */
int sb_source_reference(const struct sb_source_site *site, const struct sb_recipe *recipe,
                        struct sb_reference *out, struct sb_error *err);
/* Asks the registry what a tag stands for. 1; 0: there is no such image. */
int sb_source_resolve(const struct sb_source_site *site, const struct sb_reference *reference,
                      struct sb_digest *out, struct sb_error *err);

/* Says in an error of the two above which recipe names that base, and where. Returns -1. */
int sb_source_failed(const struct sb_recipe *recipe, struct sb_error *err);

/* What a command line names, here: no registry is asked. out is the manifest's
 * descriptor, or an index's; of a file for the platform (NULL: this machine's) that of its image.
 */
int sb_source_find_for(struct sb_store *store, const char *name, const struct sb_platform *platform,
                       struct sb_descriptor *out, struct sb_error *err);
int sb_source_find(struct sb_store *store, const char *name, struct sb_descriptor *out,
                   struct sb_error *err);

#endif
