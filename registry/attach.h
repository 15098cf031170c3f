/*
 * registry/attach: what is attached to an image in its repository: bundles, and other papers that
 * others find by the image's digest (distribution-spec 1.1, "Listing Referrers", "Referrers Tag
 * Schema").
 *
 * Something attached is a manifest of a type of its own, whose "subject" is the image. Registries
 * list them; where one has no such API, an index does at the tag sha256-HEX of the image.
 *
 *     sb_attached_put(remote, store, &manifest, &err)               once its blobs are there
 *     sb_attached_find(remote, &image, type, NULL, &found, &err)    the one that came last
 */
#ifndef SB_REGISTRY_ATTACH_H
#define SB_REGISTRY_ATTACH_H

#include <jansson.h>

#include "base/digest.h"
#include "base/error.h"
#include "layers/store.h"
#include "registry/remote.h"

/* Descriptors of all that is attached to that digest, in the registry's order, as a JSON array: a
 * new reference; artifact_type filters (NULL: all). What a list says is believed of nothing. */
int sb_attached_list(struct sb_remote *remote, const struct sb_digest *image,
                     const char *artifact_type, json_t **out, struct sb_error *err);
/* The last of that type whose manifest says itself that it is, and of that image; tag (NULL: none)
 * is where it is looked for first. 1: found; 0: there is none; -1. */
int sb_attached_find(struct sb_remote *remote, const struct sb_digest *image,
                     const char *artifact_type, const char *tag, struct sb_descriptor *out,
                     struct sb_error *err);
/* Whether a manifest is of that type; if image is given, also attached to it. */
bool sb_attached_is(const struct sb_buf *manifest, const char *artifact_type,
                    const struct sb_digest *image);

/* Puts a manifest that has a subject by its digest, and into the index where that is needed. */
int sb_attached_put(struct sb_remote *remote, struct sb_store *store,
                    const struct sb_descriptor *manifest, struct sb_error *err);
/* The same of bytes. */
int sb_attached_put_bytes(struct sb_remote *remote, const char *media_type, const void *bytes,
                          size_t len, struct sb_error *err);

#endif
