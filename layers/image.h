/*
 * layers/image: image config and manifest (image-spec 1.1, config.md and manifest.md; Docker schema
 * 2 is read as well).
 *
 * An image in memory: its config as JSON, its layers, and for each of them what its history says.
 * Keys that sbuild does not know are kept.
 */
#ifndef SB_LAYERS_IMAGE_H
#define SB_LAYERS_IMAGE_H

#include <jansson.h>

#include "base/error.h"
#include "layers/pack.h"
#include "layers/platform.h"
#include "layers/store.h"

struct sb_image_layer {
    struct sb_layer layer; /* tar_size is 0 when unknown (an image made elsewhere) */
    char *name;            /* "app"; from the annotation dev.sbuild.layer.name, or NULL */
    char *created_by;      /* the history's text, or NULL */
    json_t *annotations;   /* of the layer's descriptor, but its name; NULL when none */
    json_t *urls;          /* strings: where else the blob is; NULL when none are given */
};

struct sb_image {
    json_t *config; /* the whole image config: architecture, os, config, rootfs, history, … */
    json_t *annotations; /* of the manifest; may be NULL */
    struct sb_image_layer *layers;
    size_t layer_count, layer_cap;
    struct sb_descriptor descriptor; /* of the manifest, once loaded or saved */
    struct sb_descriptor config_descriptor;
    char *artifact_type;          /* of a manifest that is more than an image; NULL */
    struct sb_descriptor subject; /* what it belongs to; media_type is NULL when there is none */
};

#define SB_CONFIG_LIMIT (8u << 20) /* bytes of an image config */

#define SB_ANNOTATION_LAYER_NAME "dev.sbuild.layer.name" /* on layer descriptors */

/* Reads manifest and config from the store; an index is resolved to the image of this platform.
 * Verifies digests, counts and limits, and the types of all that the specification knows in a
 * config; null values in it are dropped. The layers' blobs need not be there; those that are count
 * as used from now on, and so do their origins, like manifest and config. On failure out is empty.
 * Free with sb_image_free.
 */
int sb_image_load(struct sb_store *store, const struct sb_descriptor *descriptor,
                  struct sb_image *out, struct sb_error *err);
/* The same for another platform; NULL is this machine's. What no index was asked for is taken as it
 * is, whatever its config says. */
int sb_image_load_for(struct sb_store *store, const struct sb_descriptor *descriptor,
                      const struct sb_platform *platform, struct sb_image *out,
                      struct sb_error *err);
/* The same to look at an image in a list: nothing counts as used. */
int sb_image_peek(struct sb_store *store, const struct sb_descriptor *descriptor,
                  struct sb_image *out, struct sb_error *err);

/* An image without layers for a platform: "amd64", "arm64" + variant (may be NULL). */
void sb_image_init(struct sb_image *out, const char *architecture, const char *variant);
void sb_image_copy(struct sb_image *to, const struct sb_image *from);
/* Copies name and created_by. */
void sb_image_add_layer(struct sb_image *image, const struct sb_layer *layer, const char *name,
                        const char *created_by);
void sb_image_free(struct sb_image *image);

/* Writes config and manifest as OCI blobs, filling both descriptors. rootfs is made from the
 * layers, and so is the history of those layers that the config's history does not cover; the only
 * time that is written is epoch, as "created". Keys come in a fixed order; image->config becomes
 * what was written. Same image, same bytes. */
int sb_image_save(struct sb_store *store, struct sb_image *image, int64_t epoch,
                  struct sb_error *err);

/* Checks that a document is what its descriptor says, manifest or index, and not both at once: as
 * it would be read differently by different tools (CVE-2021-41190). SB_E_INTEGRITY otherwise. */
int sb_manifest_check(const json_t *document, const struct sb_descriptor *descriptor,
                      struct sb_error *err);

#endif
