#include "layers/descriptor.h"

#include <string.h>

#include "base/json.h"

#define DOCKER_LAYER_TAR  "application/vnd.docker.image.rootfs.diff.tar"
#define DOCKER_LAYER_ZSTD "application/vnd.docker.image.rootfs.diff.tar.zstd"

#define OCI_FOREIGN    "application/vnd.oci.image.layer.nondistributable.v1."
#define DOCKER_FOREIGN "application/vnd.docker.image.rootfs.foreign.diff."

static const struct media {
    const char *type, *oci;
    enum sb_media_kind kind;
} medias[] = {
    {SB_MEDIA_INDEX, SB_MEDIA_INDEX, SB_MEDIA_KIND_INDEX},
    {SB_MEDIA_MANIFEST, SB_MEDIA_MANIFEST, SB_MEDIA_KIND_MANIFEST},
    {SB_MEDIA_CONFIG, SB_MEDIA_CONFIG, SB_MEDIA_KIND_CONFIG},
    {SB_MEDIA_LAYER_TAR, SB_MEDIA_LAYER_TAR, SB_MEDIA_KIND_LAYER},
    {SB_MEDIA_LAYER_GZIP, SB_MEDIA_LAYER_GZIP, SB_MEDIA_KIND_LAYER},
    {SB_MEDIA_LAYER_ZSTD, SB_MEDIA_LAYER_ZSTD, SB_MEDIA_KIND_LAYER},
    {SB_MEDIA_DOCKER_LIST, SB_MEDIA_INDEX, SB_MEDIA_KIND_INDEX},
    {SB_MEDIA_DOCKER_MANIFEST, SB_MEDIA_MANIFEST, SB_MEDIA_KIND_MANIFEST},
    {SB_MEDIA_DOCKER_CONFIG, SB_MEDIA_CONFIG, SB_MEDIA_KIND_CONFIG},
    {SB_MEDIA_DOCKER_LAYER, SB_MEDIA_LAYER_GZIP, SB_MEDIA_KIND_LAYER},
    {DOCKER_LAYER_TAR, SB_MEDIA_LAYER_TAR, SB_MEDIA_KIND_LAYER},
    {DOCKER_LAYER_ZSTD, SB_MEDIA_LAYER_ZSTD, SB_MEDIA_KIND_LAYER},
    /* Those that may not be distributed are layers as all others (image-spec 1.1, layer.md). */
    {OCI_FOREIGN "tar", OCI_FOREIGN "tar", SB_MEDIA_KIND_LAYER},
    {OCI_FOREIGN "tar+gzip", OCI_FOREIGN "tar+gzip", SB_MEDIA_KIND_LAYER},
    {OCI_FOREIGN "tar+zstd", OCI_FOREIGN "tar+zstd", SB_MEDIA_KIND_LAYER},
    {DOCKER_FOREIGN "tar", OCI_FOREIGN "tar", SB_MEDIA_KIND_LAYER},
    {DOCKER_FOREIGN "tar.gzip", OCI_FOREIGN "tar+gzip", SB_MEDIA_KIND_LAYER},
    {DOCKER_FOREIGN "tar.zstd", OCI_FOREIGN "tar+zstd", SB_MEDIA_KIND_LAYER},
};

static const struct media *find(const char *type) {
    if (!type)
        return NULL;
    for (size_t i = 0; i < sizeof medias / sizeof *medias; i++)
        if (!strcmp(medias[i].type, type))
            return &medias[i];
    return NULL;
}

enum sb_media_kind sb_media_kind(const char *media_type) {
    const struct media *media = find(media_type);
    return media ? media->kind : SB_MEDIA_KIND_UNKNOWN;
}

const char *sb_media_static(const char *media_type) {
    const struct media *media = find(media_type);
    return media ? media->type : NULL;
}

const char *sb_media_oci(const char *media_type) {
    const struct media *media = find(media_type);
    return media ? media->oci : media_type;
}

const char *sb_media_docker(const char *media_type) {
    const char *oci = sb_media_oci(media_type);
    for (size_t i = 0; oci && i < sizeof medias / sizeof *medias; i++)
        if (!strcmp(medias[i].oci, oci) && strcmp(medias[i].type, oci) != 0)
            return medias[i].type;
    return media_type;
}

bool sb_media_foreign(const char *media_type) {
    const struct media *media = find(media_type);
    return media && !strncmp(media->oci, OCI_FOREIGN, sizeof OCI_FOREIGN - 1);
}

int sb_descriptor_parse(const json_t *value, struct sb_descriptor *out, struct sb_error *err) {
    *out = (struct sb_descriptor){0};
    if (!json_is_object(value))
        return sb_fail(err, SB_E_INTEGRITY, "a descriptor is missing, or is not an object");
    const char *type = sb_json_string(value, "mediaType", NULL);
    const char *digest = sb_json_string(value, "digest", NULL);
    const json_t *size = json_object_get(value, "size");
    if (!type)
        return sb_fail(err, SB_E_INTEGRITY, "a descriptor has no mediaType");
    if (!digest)
        return sb_fail(err, SB_E_INTEGRITY, "a descriptor has no digest");
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return sb_fail(err, SB_E_INTEGRITY, "a descriptor has no size, or not a valid one");
    out->media_type = sb_media_static(type);
    out->size = (uint64_t)json_integer_value(size);
    return sb_digest_parse(digest, &out->digest, err);
}

json_t *sb_descriptor_json(const struct sb_descriptor *descriptor) {
    return json_pack("{s:s, s:s, s:I}", "mediaType", descriptor->media_type, "digest",
                     sb_digest_text(&descriptor->digest).text, "size",
                     (json_int_t)descriptor->size);
}
