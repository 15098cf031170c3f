#include "layers/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "layers/archive.h"
#include "layers/descriptor.h"
#include "layers/reader.h"
#include "layers/rootfs.h"

#define COPY_SIZE (256u << 10)

static const struct {
    const char *name;
    enum sb_export_form form;
} forms[] = {
#define X(form, name) {name, form},
    SB_EXPORT_FORMS(X)
#undef X
};

bool sb_export_form_parse(const char *name, enum sb_export_form *out) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strcmp(forms[i].name, name) != 0)
            continue;
        *out = forms[i].form;
        return true;
    }
    return false;
}

/* Members that are in the archive already: an image may have the same layer twice. */
static bool is_new(struct sb_strings *members, const char *path) {
    if (sb_strings_has(members, path))
        return false;
    sb_strings_add(members, path);
    return true;
}

/* ---- OCI image layout ---- */

/* Copies a blob as it is, verifying it. */
static int write_blob(struct sb_archive *archive, struct sb_store *store,
                      const struct sb_descriptor *descriptor, struct sb_strings *members,
                      struct sb_error *err) {
    sb_autofree char *path = sb_blob_path(&descriptor->digest);
    if (!is_new(members, path))
        return 0;
    sb_autoclose int fd = sb_blob_open(store, &descriptor->digest, descriptor->size, err);
    if (fd < 0 || sb_archive_file(archive, path, NULL, descriptor->size, err) < 0)
        return -1;
    sb_autofree char *buf = sb_realloc(NULL, COPY_SIZE, 1);
    struct sb_sha256 sha;
    sb_sha256_start(&sha);
    for (;;) {
        ssize_t n = read(fd, buf, COPY_SIZE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sb_fail_errno(err, SB_E_IO, "reading %s", path);
        if (n == 0)
            break;
        sb_sha256_add(&sha, buf, (size_t)n);
        if (sb_interrupt_check(err) < 0 || sb_archive_data(archive, buf, (size_t)n, err) < 0)
            return -1;
    }
    struct sb_digest found = sb_sha256_finish(&sha);
    if (!sb_digest_equal(&found, &descriptor->digest))
        return sb_fail(err, SB_E_INTEGRITY, "the blob %s has the digest %s: it is damaged",
                       sb_digest_text(&descriptor->digest).text, sb_digest_text(&found).text);
    return 0;
}

static json_t *index_of(const struct sb_descriptor *top, const struct sb_strings *names) {
    json_t *manifests = json_array();
    for (size_t i = 0; i < names->n; i++) {
        json_t *entry = sb_descriptor_json(top);
        json_object_set_new(
            entry, "annotations",
            json_pack("{s:o}", SB_ANNOTATION_REF_NAME, sb_json_from_bytes(names->v[i])));
        json_array_append_new(manifests, entry);
    }
    if (names->n == 0)
        json_array_append_new(manifests, sb_descriptor_json(top));
    return json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", SB_MEDIA_INDEX,
                     "manifests", manifests);
}

static int write_image(struct sb_archive *archive, struct sb_store *store,
                       const struct sb_image *image, struct sb_strings *members,
                       struct sb_error *err) {
    if (write_blob(archive, store, &image->descriptor, members, err) < 0 ||
        write_blob(archive, store, &image->config_descriptor, members, err) < 0)
        return -1;
    for (size_t i = 0; i < image->layer_count; i++)
        if (write_blob(archive, store, &image->layers[i].layer.descriptor, members, err) < 0)
            return -1;
    return 0;
}

/* top: what the names name, one of the images or an index of them. */
static int write_oci(struct sb_archive *archive, struct sb_store *store,
                     const struct sb_descriptor *top, const struct sb_image *images, size_t count,
                     const struct sb_strings *names, struct sb_error *err) {
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    sb_autojson json_t *index = index_of(top, names);
    sb_autobuf struct sb_buf text = {0};
    sb_autostrings struct sb_strings members = {0};
    sb_json_write(index, &text);
    if (sb_archive_file(archive, "oci-layout", layout, strlen(layout), err) < 0 ||
        sb_archive_file(archive, "index.json", text.data, text.len, err) < 0 ||
        sb_archive_directory(archive, "blobs", err) < 0 ||
        sb_archive_directory(archive, "blobs/sha256", err) < 0 ||
        write_blob(archive, store, top, &members, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (write_image(archive, store, &images[i], &members, err) < 0)
            return -1;
    return 0;
}

/* ---- docker load ---- */

static char *layer_member(const struct sb_layer *layer) {
    return sb_format("%s.tar", sb_digest_hex(&layer->diff_id).text);
}

/* The size of a layer's tar is needed in front of it; when nobody knows it, it is counted. */
static int tar_size(struct sb_store *store, const struct sb_layer *layer, uint64_t *out,
                    struct sb_error *err) {
    struct sb_layer_reader *reader;
    *out = layer->tar_size;
    if (*out > 0)
        return 0;
    if (sb_layer_reader_open(store, &layer->descriptor, &reader, err) < 0)
        return -1;
    return sb_layer_reader_finish(reader, NULL, out, err);
}

static int copy_tar(struct sb_archive *archive, struct sb_layer_reader *reader,
                    struct sb_error *err) {
    for (;;) {
        const void *data;
        size_t len;
        if (sb_layer_reader_next(reader, &data, &len, err) < 0)
            return -1;
        if (len == 0)
            return 0;
        if (sb_archive_data(archive, data, len, err) < 0)
            return -1;
    }
}

static int write_layer(struct sb_archive *archive, struct sb_store *store,
                       const struct sb_layer *layer, struct sb_strings *members,
                       struct sb_error *err) {
    sb_autofree char *path = layer_member(layer);
    if (!is_new(members, path))
        return 0;
    uint64_t size;
    struct sb_layer_reader *reader;
    struct sb_digest found;
    if (tar_size(store, layer, &size, err) < 0 ||
        sb_archive_file(archive, path, NULL, size, err) < 0 ||
        sb_layer_reader_open(store, &layer->descriptor, &reader, err) < 0)
        return -1;
    if (copy_tar(archive, reader, err) < 0) {
        sb_layer_reader_abort(reader);
        return -1;
    }
    if (sb_layer_reader_finish(reader, &found, NULL, err) < 0)
        return -1;
    if (!sb_digest_equal(&found, &layer->diff_id))
        return sb_fail(err, SB_E_INTEGRITY, "the layer %s has the diff ID %s instead of %s",
                       sb_digest_text(&layer->descriptor.digest).text, sb_digest_text(&found).text,
                       sb_digest_text(&layer->diff_id).text);
    return 0;
}

static json_t *docker_manifest(const struct sb_image *image, const struct sb_strings *names) {
    json_t *tags = json_array(), *layers = json_array();
    for (size_t i = 0; i < names->n; i++) {
        const char *slash = strrchr(names->v[i], '/');
        bool tagged = strchr(slash ? slash : names->v[i], ':') != NULL; /* docker insists on one */
        sb_autofree char *name = sb_format("%s%s", names->v[i], tagged ? "" : ":latest");
        json_array_append_new(tags, sb_json_from_bytes(name));
    }
    for (size_t i = 0; i < image->layer_count; i++) {
        sb_autofree char *path = layer_member(&image->layers[i].layer);
        json_array_append_new(layers, json_string(path));
    }
    sb_autofree char *config =
        sb_format("%s.json", sb_digest_hex(&image->config_descriptor.digest).text);
    return json_pack("[{s:s, s:o, s:o}]", "Config", config, "RepoTags", tags, "Layers", layers);
}

static int write_docker(struct sb_archive *archive, struct sb_store *store,
                        const struct sb_image *image, const struct sb_strings *names,
                        struct sb_error *err) {
    sb_autojson json_t *manifest = docker_manifest(image, names);
    sb_autobuf struct sb_buf text = {0}, config = {0};
    sb_autostrings struct sb_strings members = {0};
    sb_json_write(manifest, &text);
    const char *name = json_string_value(json_object_get(json_array_get(manifest, 0), "Config"));
    if (sb_blob_read(store, &image->config_descriptor, SB_CONFIG_LIMIT, &config, err) < 0 ||
        sb_archive_file(archive, "manifest.json", text.data, text.len, err) < 0 ||
        sb_archive_file(archive, name, config.data, config.len, err) < 0)
        return -1;
    for (size_t i = 0; i < image->layer_count; i++)
        if (write_layer(archive, store, &image->layers[i].layer, &members, err) < 0)
            return -1;
    return 0;
}

/* ---- all of them ---- */

int sb_image_export(struct sb_store *store, const struct sb_image *image, enum sb_export_form form,
                    const struct sb_strings *names, int fd, const char *what,
                    struct sb_error *err) {
    struct sb_archive archive = {.fd = fd, .what = what};
    int rc = -1;
    switch (form) {
    case SB_EXPORT_OCI:
        rc = write_oci(&archive, store, &image->descriptor, image, 1, names, err);
        break;
    case SB_EXPORT_DOCKER:
        rc = write_docker(&archive, store, image, names, err);
        break;
    case SB_EXPORT_ROOTFS:
        rc = sb_rootfs_write(store, image, &archive, err);
        break;
    }
    if (rc == 0)
        rc = sb_archive_finish(&archive, err);
    sb_archive_free(&archive);
    return rc;
}

int sb_index_export(struct sb_store *store, const struct sb_image_index *index,
                    const struct sb_index_images *images, const struct sb_strings *names, int fd,
                    const char *what, struct sb_error *err) {
    struct sb_archive archive = {.fd = fd, .what = what};
    int rc = write_oci(&archive, store, &index->descriptor, images->v, images->n, names, err);
    if (rc == 0)
        rc = sb_archive_finish(&archive, err);
    sb_archive_free(&archive);
    return rc;
}
