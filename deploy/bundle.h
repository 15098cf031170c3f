/*
 * deploy/bundle: the bundle of an image: an artifact beside it in store and registry.
 *
 * An ordinary OCI image manifest, so that every tool reads it:
 *
 *     artifactType   application/vnd.dev.sbuild.bundle.v1
 *     subject        the image's manifest
 *     config         the image's, with one more diff ID and history entry
 *     layers         the image's own, nothing is stored or sent twice; and one more of a few KB,
 *                    zstd, or gzip if theirs is, annotated dev.sbuild.bundle=description, with
 *                        usr/lib/sbuild/bundle/description.json   (deploy/description.h)
 *                        usr/lib/sbuild/bundle/environment        NAME=VALUE, to be read
 *                        usr/lib/sbuild/bundle/units/…            to be read
 *     annotations    org.opencontainers.image.title, …version, dev.sbuild.image (its digest)
 *
 * It is tagged bundle-TAG beside the image's TAG, and is a referrer of the image. Same image and
 * description, same bytes.
 */
#ifndef SB_DEPLOY_BUNDLE_H
#define SB_DEPLOY_BUNDLE_H

#include "base/error.h"
#include "deploy/description.h"
#include "layers/image.h"
#include "layers/store.h"

#define SB_BUNDLE_ARTIFACT_TYPE "application/vnd.dev.sbuild.bundle.v1"
#define SB_BUNDLE_ANNOTATION    "dev.sbuild.bundle" /* "description", on the last layer */
#define SB_BUNDLE_IMAGE         "dev.sbuild.image"  /* on the manifest: the image's digest */
#define SB_BUNDLE_TAG_PREFIX    "bundle-"
#define SB_BUNDLE_DIRECTORY     "usr/lib/sbuild/bundle"
#define SB_BUNDLE_LAYER_LIMIT   (8u << 20) /* bytes of its last layer's tar */

/* Writes the bundle into the store, without a tag. image is one of the store, saved or loaded; its
 * layers' blobs need not be here. out is the bundle as an image: it can be pushed and exported like
 * any other. Free it with sb_image_free. */
int sb_bundle_make(struct sb_store *store, const struct sb_image *image,
                   const struct sb_description *description, struct sb_image *out,
                   struct sb_error *err);

/* The variables as the bundle shows them, a line for each. */
void sb_bundle_environment(const struct sb_description *description, struct sb_buf *out);

/* "bundle-v1" for "v1", cut where a tag would be too long; the caller's. */
char *sb_bundle_tag(const char *tag);

/* Reads a bundle of the store: the manifest must be one (SB_E_FAILED says that it is no bundle),
 * its last layer is read (fetched when the store has a source for it) and verified, and
 * description, config and layers must agree: same diff IDs, digests and sizes, in order
 * (SB_E_INTEGRITY). out_image is the bundle's image, its last layer included. Free both. */
int sb_bundle_load(struct sb_store *store, const struct sb_descriptor *manifest,
                   struct sb_image *out_image, struct sb_description *out_description,
                   struct sb_error *err);

#endif
