/*
 * registry/rewrite: the manifest of an image whose layers go into a repository otherwise than they
 * are in the store: compressed anew, or under Docker's media types. Private to pushing.
 *
 * The config's bytes stay as they are: OCI's and Docker's are the same document.
 */
#ifndef SB_REGISTRY_REWRITE_H
#define SB_REGISTRY_REWRITE_H

#include <jansson.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/pack.h"
#include "registry/push.h"

/* How a layer of that media type has to be compressed to be pushed so. */
enum sb_compression sb_rewrite_compression(const char *media_type,
                                           const struct sb_push_options *options);
/* True when the manifest's bytes can be pushed as they are: nothing has to be rewritten. */
bool sb_rewrite_needed(const json_t *manifest, const struct sb_push_options *options);
/* Writes the manifest with these layers, as many as it has. Annotations, which Docker's format
 * doesn't have, are left out there. out_media_type becomes a static string. */
int sb_rewrite_manifest(const json_t *manifest, const struct sb_descriptor *layers,
                        enum sb_push_format format, struct sb_buf *out, const char **out_media_type,
                        struct sb_error *err);

/* The manifest of an image of the store, as it goes; free its bytes in every case. 1: it is known,
 * 0: layers have yet to be converted. */
struct sb_rewritten {
    struct sb_descriptor descriptor;
    struct sb_buf bytes;
};
int sb_rewrite(struct sb_store *store, const struct sb_push_options *options,
               const struct sb_image *image, struct sb_rewritten *out, struct sb_error *err);

#endif
