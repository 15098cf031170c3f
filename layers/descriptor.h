/*
 * layers/descriptor: descriptors as JSON (image-spec 1.1, descriptor.md), and the media types that
 * sbuild knows.
 */
#ifndef SB_LAYERS_DESCRIPTOR_H
#define SB_LAYERS_DESCRIPTOR_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "layers/store.h"

enum sb_media_kind {
    SB_MEDIA_KIND_UNKNOWN,
    SB_MEDIA_KIND_INDEX, /* of OCI or Docker, as all below */
    SB_MEDIA_KIND_MANIFEST,
    SB_MEDIA_KIND_CONFIG,
    SB_MEDIA_KIND_LAYER,
};

enum sb_media_kind sb_media_kind(const char *media_type);
/* The same text as a static string, or NULL when sbuild does not know it. */
const char *sb_media_static(const char *media_type);
/* The OCI type for a known one: Docker's layers, configs and manifests have the same content. */
const char *sb_media_oci(const char *media_type);

/* The same the other way. */
const char *sb_media_docker(const char *media_type);
/* A layer "that may not be distributed": it has the content of any other, but need not be in the
 * registry, when its descriptor says by "urls" where it is. */
bool sb_media_foreign(const char *media_type);

/* Reads a descriptor whose every part may be wrong. media_type becomes a static string, or NULL
 * when it is a type that sbuild does not know. Other keys are not looked at. */
int sb_descriptor_parse(const json_t *value, struct sb_descriptor *out, struct sb_error *err);
/* {"mediaType", "digest", "size"}: a new reference. */
json_t *sb_descriptor_json(const struct sb_descriptor *descriptor);

#endif
