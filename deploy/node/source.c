#include "deploy/node/source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/memory.h"
#include "deploy/bundle.h"
#include "layers/descriptor.h"
#include "layers/import.h"
#include "registry/attach.h"
#include "registry/fetch.h"
#include "registry/pull.h"
#include "registry/reference.h"

#define INDEXES 2 /* in one another */

/* ---- in a registry ---- */

/* Where it is looked for. */
struct place {
    struct sb_remote *remote;
    const struct sb_platform *platform;
};

/* Of an index, the manifest for the platform. */
static int choose(const struct sb_buf *bytes, const struct sb_platform *platform,
                  struct sb_descriptor *out, struct sb_error *err) {
    sb_autojson json_t *index = sb_json_parse(sb_buf_text(bytes), bytes->len, err);
    return index ? sb_platform_choose(json_object_get(index, "manifests"), platform, out, err) : -1;
}

/* Indexes are followed, two deep. */
static int get(const struct place *place, const char *reference, struct sb_manifest *out,
               struct sb_error *err) {
    if (sb_remote_manifest_get(place->remote, reference, out, err) < 0)
        return -1;
    for (int depth = 0; sb_media_kind(out->descriptor.media_type) == SB_MEDIA_KIND_INDEX; depth++) {
        struct sb_descriptor chosen;
        int rc = depth < INDEXES
                     ? choose(&out->bytes, place->platform, &chosen, err)
                     : sb_fail(err, SB_E_INTEGRITY, "more than %d indexes in one another", INDEXES);
        sb_manifest_free(out);
        if (rc < 0 || sb_remote_manifest_get(place->remote, sb_digest_text(&chosen.digest).text,
                                             out, err) < 0)
            return -1;
    }
    return 0;
}

/* The bundle-TAG beside an image's TAG, when it is of that very image; else the last that is. */
static int find_attached(const struct place *place, const struct sb_digest *image, const char *tag,
                         struct sb_descriptor *out, struct sb_error *err) {
    struct sb_manifest beside = {0};
    struct sb_error ignored = {0};
    bool found = tag && get(place, tag, &beside, &ignored) == 0 &&
                 sb_attached_is(&beside.bytes, SB_BUNDLE_ARTIFACT_TYPE, image);
    if (found)
        *out = beside.descriptor;
    sb_manifest_free(&beside);
    if (found)
        return 0;
    int listed = sb_attached_find(place->remote, image, SB_BUNDLE_ARTIFACT_TYPE, NULL, out, err);
    if (listed == 0)
        sb_fail(err, SB_E_NOT_FOUND, "there is no bundle of this image");
    return listed > 0 ? 0 : -1;
}

static int find_in_repository(const struct place *place, const struct sb_reference *reference,
                              struct sb_descriptor *out, struct sb_error *err) {
    struct sb_digest_text digest = sb_digest_text(&reference->digest);
    const char *tag = reference->tag ? reference->tag : "latest";
    sb_autofree char *beside = reference->has_digest ? NULL : sb_bundle_tag(tag);
    struct sb_manifest named = {0};
    int rc = get(place, beside ? tag : digest.text, &named, err);
    if (rc == 0 && sb_attached_is(&named.bytes, SB_BUNDLE_ARTIFACT_TYPE, NULL))
        *out = named.descriptor;
    else if (rc == 0)
        rc = find_attached(place, &named.descriptor.digest, beside, out, err);
    sb_manifest_free(&named);
    return rc;
}

static int find_in_registry(struct sb_registry *registry, const char *text,
                            const struct sb_platform *platform, struct sb_bundle_source *out,
                            struct sb_error *err) {
    struct sb_reference reference;
    if (sb_reference_parse(text, &reference, err) < 0)
        return -1;
    out->host = sb_strdup(reference.host);
    out->repository = sb_strdup(reference.repository);
    out->reference = sb_reference_text(&reference);
    struct sb_remote *remote = sb_remote_open(registry, out->host, out->repository);
    const struct place place = {remote, platform};
    int rc = find_in_repository(&place, &reference, &out->manifest, err);
    sb_remote_free(remote);
    sb_reference_free(&reference);
    if (rc == 0)
        return 0;
    if (err->code == SB_E_NOT_FOUND && !err->hint[0])
        sb_error_hint(err, "sbuild bundle RECIPE --push makes one and sends it there");
    return sb_registry_failed(err);
}

/* ---- in the store ---- */

static bool is_bundle_here(struct sb_store *store, const struct sb_descriptor *descriptor) {
    sb_autobuf struct sb_buf text = {0};
    return sb_blob_read(store, descriptor, SB_MANIFEST_LIMIT, &text, NULL) == 0 &&
           sb_attached_is(&text, SB_BUNDLE_ARTIFACT_TYPE, NULL);
}

/* What the name names; of an index what is for the platform. */
static int resolve(struct sb_store *store, const char *name, const struct sb_platform *platform,
                   struct sb_descriptor *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_store_resolve(store, name, out, err) < 0)
        return -1;
    if (sb_media_kind(out->media_type) != SB_MEDIA_KIND_INDEX)
        return 0;
    return sb_blob_read(store, out, SB_MANIFEST_LIMIT, &text, err) < 0
               ? -1
               : choose(&text, platform, out, err);
}

static int find_in_store(struct sb_store *store, const char *text,
                         const struct sb_platform *platform, struct sb_bundle_source *out,
                         struct sb_error *err) {
    if (resolve(store, text, platform, &out->manifest, err) < 0)
        return -1;
    out->reference = sb_strdup(text);
    if (is_bundle_here(store, &out->manifest))
        return 0;
    const char *colon = strrchr(text, ':');
    const char *tag = colon && !strchr(colon, '/') ? colon + 1 : "latest";
    sb_autofree char *wanted = sb_bundle_tag(tag);
    size_t n = colon && !strchr(colon, '/') ? (size_t)(colon - text) : strlen(text);
    sb_autofree char *name = sb_format("%.*s:%s", (int)n, text, wanted);
    struct sb_error ignored = {0};
    if (resolve(store, name, platform, &out->manifest, &ignored) == 0 &&
        is_bundle_here(store, &out->manifest))
        return 0;
    sb_fail(err, SB_E_NOT_FOUND, "%s is an image, and the store has no bundle of it (%s)", text,
            name);
    return sb_error_hint(err, "sbuild bundle %s makes it", text);
}

/* ---- in a file ---- */

static bool is_file(const char *text) {
    struct stat st;
    return stat(text, &st) == 0 && S_ISREG(st.st_mode);
}

/* What can only be meant as one, whether it is there or not. */
static bool is_path(const char *text) {
    size_t n = strlen(text);
    return *text == '/' || !strncmp(text, "./", 2) || !strncmp(text, "../", 3) ||
           (n > 4 && !strcmp(text + n - 4, ".tar") && !sb_reference_has_host(text));
}

static int no_file(const char *text, struct sb_error *err) {
    struct stat st;
    if (stat(text, &st) < 0)
        sb_fail_errno(err, SB_E_NOT_FOUND, "the file cannot be read");
    else
        sb_fail(err, SB_E_FAILED, "is not a file");
    return sb_error_hint(err, "sbuild bundle RECIPE --output FILE writes one");
}

static int import(struct sb_store *store, const char *text, const struct sb_platform *platform,
                  struct sb_bundle_source *out, struct sb_error *err) {
    sb_autofree char *whole =
        sb_import_is_source(text) ? sb_strdup(text) : sb_format("oci-archive:%s", text);
    out->reference = sb_strdup(text);
    return sb_image_import_for(store, whole, platform, &out->manifest, err);
}

/* ---- all of them ---- */

int sb_bundle_find(struct sb_store *store, struct sb_registry *registry, const char *text,
                   const struct sb_platform *platform, struct sb_bundle_source *out,
                   struct sb_error *err) {
    *out = (struct sb_bundle_source){0};
    struct sb_error in_store = {0};
    int rc;
    if (sb_import_is_source(text) || is_file(text))
        rc = import(store, text, platform, out, err);
    else if (is_path(text))
        rc = no_file(text, err);
    else if (sb_reference_has_host(text))
        rc = find_in_registry(registry, text, platform, out, err);
    else if ((rc = find_in_store(store, text, platform, out, &in_store)) < 0)
        *err = in_store;
    if (rc < 0)
        sb_bundle_source_free(out);
    return rc;
}

int sb_bundle_fetch(struct sb_store *store, struct sb_registry *registry,
                    const struct sb_bundle_source *source, struct sb_error *err) {
    if (!source->host)
        return 0;
    struct sb_reference reference = {.host = source->host,
                                     .repository = source->repository,
                                     .has_digest = true,
                                     .digest = source->manifest.digest};
    const struct sb_pull_options options = {.lazy = true};
    struct sb_pulled pulled;
    return sb_pull_image(registry, store, &reference, &options, &pulled, err);
}

void sb_bundle_source_free(struct sb_bundle_source *source) {
    free(source->reference);
    free(source->host);
    free(source->repository);
    *source = (struct sb_bundle_source){0};
}
