#include "deploy/bundle.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/json.h"
#include "base/memory.h"
#include "deploy/units.h"
#include "layers/convert.h"
#include "layers/pack.h"
#include "layers/parts.h"
#include "layers/reader.h"
#include "layers/walk.h"
#include "registry/reference.h"

#define DESCRIPTION   SB_BUNDLE_DIRECTORY "/description.json"
#define LAYER_NAME    "bundle"
#define TITLE         "org.opencontainers.image.title"
#define VERSION       "org.opencontainers.image.version"
#define DEFAULT_EPOCH INT64_C(1577836800) /* of images that don't say when they were made */

/* ---- the last layer ---- */

static int put_directory(struct sb_packer *packer, const char *path, int64_t epoch,
                         struct sb_error *err) {
    const struct sb_entry entry = {.path = path, .mode = S_IFDIR | 0755, .mtime = epoch};
    return sb_packer_entry(packer, &entry, err);
}

static int put_file(struct sb_packer *packer, const char *path, const char *text, size_t len,
                    int64_t epoch, struct sb_error *err) {
    const struct sb_entry entry = {
        .path = path, .mode = S_IFREG | 0644, .size = len, .mtime = epoch};
    if (sb_packer_entry(packer, &entry, err) < 0)
        return -1;
    return len ? sb_packer_data(packer, text, len, err) : 0;
}

/* For people: a line for each variable. */
void sb_bundle_environment(const struct sb_description *d, struct sb_buf *out) {
    for (size_t i = 0; i < d->env.n; i++) {
        sb_buf_addf(out, "%s=", d->env.v[i].name);
        for (const char *p = d->env.v[i].value; *p; p++)
            if (*p == '\n')
                sb_buf_adds(out, "\\n");
            else
                sb_buf_addc(out, *p);
        sb_buf_addc(out, '\n');
    }
}

static int put_units(struct sb_packer *packer, const struct sb_units *units, int64_t epoch,
                     struct sb_error *err) {
    struct sb_strings names = {0};
    int rc = 0;
    for (size_t i = 0; i < units->n; i++)
        sb_strings_add(&names, units->v[i].name);
    sb_strings_sort(&names);
    for (size_t i = 0; i < names.n && rc == 0; i++)
        for (size_t j = 0; j < units->n && rc == 0; j++) {
            const struct sb_unit *unit = &units->v[j];
            sb_autofree char *path = sb_format(SB_BUNDLE_DIRECTORY "/units/%s", unit->name);
            if (!strcmp(unit->name, names.v[i]))
                rc = put_file(packer, path, unit->text, strlen(unit->text), epoch, err);
        }
    sb_strings_free(&names);
    return rc;
}

static int put_all(struct sb_packer *packer, const struct sb_description *d,
                   const struct sb_units *units, int64_t epoch, struct sb_error *err) {
    static const char *const directories[] = {"usr", "usr/lib", "usr/lib/sbuild",
                                              SB_BUNDLE_DIRECTORY};
    sb_autobuf struct sb_buf description = {0}, environment = {0};
    sb_description_write(d, &description);
    sb_bundle_environment(d, &environment);
    if (description.len > SB_DESCRIPTION_LIMIT)
        return sb_fail(err, SB_E_FAILED, "the service's description would have %zu bytes",
                       description.len);
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        if (put_directory(packer, directories[i], epoch, err) < 0)
            return -1;
    if (put_file(packer, DESCRIPTION, description.data, description.len, epoch, err) < 0 ||
        put_file(packer, SB_BUNDLE_DIRECTORY "/environment", environment.data, environment.len,
                 epoch, err) < 0 ||
        put_directory(packer, SB_BUNDLE_DIRECTORY "/units", epoch, err) < 0)
        return -1;
    return put_units(packer, units, epoch, err);
}

/* As the image's layers are: who reads those can read this one. */
static enum sb_compression compression_of(const struct sb_image *image) {
    const struct sb_image_layer *last = &image->layers[image->layer_count - 1];
    return sb_layer_compression(last->layer.descriptor.media_type) == SB_COMPRESSION_GZIP
               ? SB_COMPRESSION_GZIP
               : SB_COMPRESSION_ZSTD;
}

static int pack(struct sb_store *store, const struct sb_image *image,
                const struct sb_description *d, int64_t epoch, struct sb_layer *out,
                struct sb_error *err) {
    const struct sb_pack_options options = {.compression = compression_of(image), .threads = 1};
    const struct sb_placement review = {0};
    struct sb_units units;
    struct sb_packer *packer;
    if (sb_units_generate(d, &review, &units, err) < 0)
        return -1;
    int rc = sb_packer_start(store, &options, &packer, err);
    if (rc == 0) {
        rc = put_all(packer, d, &units, epoch, err);
        if (rc == 0)
            rc = sb_packer_finish(packer, out, err);
        else
            sb_packer_abort(packer);
    }
    sb_units_free(&units);
    return rc;
}

/* ---- the manifest ---- */

/* When the image was made, as its config says. */
static int64_t epoch_of(const struct sb_image *image) {
    struct tm tm = {0};
    const char *text = sb_json_string(image->config, "created", "");
    return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) : DEFAULT_EPOCH;
}

static void annotate(struct sb_image *bundle, const struct sb_image *image,
                     const struct sb_description *d) {
    json_decref(bundle->annotations);
    bundle->annotations =
        json_pack("{s:s, s:s, s:s*}", TITLE, d->name, SB_BUNDLE_IMAGE,
                  sb_digest_text(&image->descriptor.digest).text, VERSION, d->version);
}

int sb_bundle_make(struct sb_store *store, const struct sb_image *image,
                   const struct sb_description *d, struct sb_image *out, struct sb_error *err) {
    int64_t epoch = epoch_of(image);
    struct sb_layer layer;
    *out = (struct sb_image){0};
    if (image->artifact_type && !strcmp(image->artifact_type, SB_BUNDLE_ARTIFACT_TYPE))
        return sb_fail(err, SB_E_FAILED, "the image is a bundle already");
    if (image->layer_count == 0)
        return sb_fail(err, SB_E_FAILED, "the image has no layers");
    if (pack(store, image, d, epoch, &layer, err) < 0)
        return -1;
    sb_image_copy(out, image);
    sb_image_add_layer(out, &layer, LAYER_NAME, "sbuild bundle");
    out->layers[out->layer_count - 1].annotations =
        json_pack("{s:s}", SB_BUNDLE_ANNOTATION, "description");
    annotate(out, image, d);
    free(out->artifact_type);
    out->artifact_type = sb_strdup(SB_BUNDLE_ARTIFACT_TYPE);
    out->subject = image->descriptor;
    if (sb_image_save(store, out, epoch, err) == 0)
        return 0;
    sb_image_free(out);
    return -1;
}

char *sb_bundle_tag(const char *tag) {
    return sb_format(SB_BUNDLE_TAG_PREFIX "%.*s",
                     (int)(SB_TAG_LIMIT - strlen(SB_BUNDLE_TAG_PREFIX)), tag);
}

/* ---- reading ---- */

/* The one file that matters; all else in the layer is for people. */
static int find_description(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                            struct sb_error *err) {
    struct sb_buf *out = self;
    const void *bytes;
    size_t len;
    uint64_t offset;
    if (strcmp(entry->path, DESCRIPTION) != 0)
        return 0;
    if (!S_ISREG(entry->mode) || entry->hard_link || entry->size > SB_DESCRIPTION_LIMIT || out->len)
        return sb_fail(err, SB_E_INTEGRITY, "%s is no file that a bundle has", DESCRIPTION);
    for (;;) {
        if (sb_entry_data_next(data, &bytes, &len, &offset, err) < 0)
            return -1;
        if (len == 0)
            return 0;
        if (offset != out->len)
            return sb_fail(err, SB_E_INTEGRITY, "%s has holes", DESCRIPTION);
        sb_buf_add(out, bytes, len);
    }
}

static int read_layer(struct sb_store *store, const struct sb_layer *layer, struct sb_buf *out,
                      struct sb_error *err) {
    struct sb_layer_reader *reader;
    struct sb_digest diff_id;
    if (layer->descriptor.size > SB_BUNDLE_LAYER_LIMIT)
        return sb_fail(err, SB_E_INTEGRITY, "is too large");
    if (sb_layer_reader_open(store, &layer->descriptor, &reader, err) < 0)
        return -1;
    sb_layer_reader_limit(reader, SB_BUNDLE_LAYER_LIMIT);
    if (sb_layer_reader_walk(reader, find_description, out, err) < 0) {
        sb_layer_reader_abort(reader);
        return -1;
    }
    if (sb_layer_reader_finish(reader, &diff_id, NULL, err) < 0)
        return -1;
    if (!sb_digest_equal(&diff_id, &layer->diff_id))
        return sb_fail(err, SB_E_INTEGRITY, "its content is not what the config says");
    return out->len ? 0 : sb_fail(err, SB_E_INTEGRITY, "has no %s", DESCRIPTION);
}

static int compare(const struct sb_image *image, const struct sb_description *d,
                   struct sb_error *err) {
    if (!image->subject.media_type || !sb_digest_equal(&image->subject.digest, &d->image.digest))
        return sb_fail(err, SB_E_INTEGRITY, "it describes another image than it belongs to");
    bool same = d->layer_count == image->layer_count - 1;
    for (size_t i = 0; i < d->layer_count && same; i++)
        same = sb_layer_equal(&d->layers[i].layer, &image->layers[i].layer);
    return same ? 0 : sb_fail(err, SB_E_INTEGRITY, "it describes other layers than it has");
}

static int read_description(struct sb_store *store, const struct sb_image *image,
                            struct sb_description *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (!image->artifact_type || strcmp(image->artifact_type, SB_BUNDLE_ARTIFACT_TYPE) != 0 ||
        image->layer_count < 2) {
        sb_fail(err, SB_E_FAILED, "is an image, and no bundle");
        return sb_error_hint(err, "sbuild bundle makes one of it");
    }
    if (read_layer(store, &image->layers[image->layer_count - 1].layer, &text, err) < 0)
        return sb_error_context(err, "the layer that describes the service");
    if (sb_description_parse(text.data, text.len, out, err) < 0)
        return -1;
    if (compare(image, out, err) == 0)
        return 0;
    sb_description_free(out);
    return -1;
}

int sb_bundle_load(struct sb_store *store, const struct sb_descriptor *manifest,
                   struct sb_image *out_image, struct sb_description *out_description,
                   struct sb_error *err) {
    *out_description = (struct sb_description){0};
    if (sb_image_load(store, manifest, out_image, err) < 0)
        return -1;
    if (read_description(store, out_image, out_description, err) == 0)
        return 0;
    sb_image_free(out_image);
    return sb_error_context(err, "the bundle %s", sb_digest_text(&manifest->digest).text);
}
