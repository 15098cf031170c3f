#include "layers/convert.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/memory.h"
#include "layers/descriptor.h"
#include "layers/frames.h"
#include "layers/reader.h"

#define RECORD_LIMIT (64u << 10)

enum sb_compression sb_layer_compression(const char *media_type) {
    const char *oci = media_type ? sb_media_oci(media_type) : "";
    const char *plus = strchr(oci, '+'); /* "…tar+gzip" */
    return plus && !strcmp(plus, "+zstd")   ? SB_COMPRESSION_ZSTD
           : plus && !strcmp(plus, "+gzip") ? SB_COMPRESSION_GZIP
                                            : SB_COMPRESSION_NONE;
}

static const char *compression_name(enum sb_compression compression) {
    return compression == SB_COMPRESSION_ZSTD   ? "zstd"
           : compression == SB_COMPRESSION_GZIP ? "gzip"
                                                : "none";
}

/* ---- records ---- */

static json_t *make_key(const struct sb_layer *layer, enum sb_compression compression) {
    return json_pack("{s:s, s:s, s:s, s:i}", "blob", sb_digest_text(&layer->descriptor.digest).text,
                     "compression", compression_name(compression), "kind", "convert", "version", 1);
}

/* Relative to STORE. */
static char *record_path(const json_t *key) {
    struct sb_digest digest = sb_json_digest_canonical(key);
    return sb_format("sbuild/records/%s", sb_digest_hex(&digest).text);
}

static bool read_record(struct sb_store *store, const char *path, const struct sb_layer *layer,
                        enum sb_compression compression, struct sb_layer *out) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(sb_store_fd(store), path, RECORD_LIMIT, &text, NULL) < 0)
        return false;
    sb_autojson json_t *record = sb_json_parse(sb_buf_text(&text), text.len, NULL);
    const json_t *value = json_object_get(record, "layer");
    *out = (struct sb_layer){.diff_id = layer->diff_id};
    out->tar_size = (uint64_t)sb_json_integer(value, "tar_size", 0);
    out->descriptor.size = (uint64_t)sb_json_integer(value, "size", 0);
    out->descriptor.media_type = sb_media_static(sb_json_string(value, "media_type", ""));
    return sb_layer_compression(out->descriptor.media_type) == compression &&
           sb_digest_parse(sb_json_string(value, "digest", ""), &out->descriptor.digest, NULL) ==
               0 &&
           sb_blob_has(store, &out->descriptor.digest, out->descriptor.size);
}

static bool find(struct sb_store *store, const char *path, const struct sb_layer *layer,
                 enum sb_compression compression, struct sb_layer *out) {
    if (sb_store_hold(store, NULL) < 0)
        return false;
    bool found = read_record(store, path, layer, compression, out);
    if (found)
        sb_store_use(store, path, NULL);
    sb_store_release(store);
    return found;
}

bool sb_layer_find_converted(struct sb_store *store, const struct sb_layer *layer,
                             enum sb_compression compression, struct sb_layer *out) {
    sb_autojson json_t *key = make_key(layer, compression);
    sb_autofree char *path = record_path(key);
    return find(store, path, layer, compression, out);
}

static int write_record(struct sb_store *store, const char *path, json_t *key,
                        const struct sb_layer *layer, struct sb_error *err) {
    const struct sb_descriptor *blob = &layer->descriptor;
    sb_autojson json_t *record =
        json_pack("{s:i, s:O, s:{s:s, s:s, s:I, s:s, s:I}}", "version", 1, "key", key, "layer",
                  "media_type", blob->media_type, "digest", sb_digest_text(&blob->digest).text,
                  "size", (json_int_t)blob->size, "diff_id", sb_digest_text(&layer->diff_id).text,
                  "tar_size", (json_int_t)layer->tar_size);
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(record, &text);
    return sb_file_write(sb_store_fd(store), path, text.data, text.len, 0644, err);
}

/* ---- converting ---- */

static int copy(struct sb_layer_reader *reader, struct sb_frames *frames, struct sb_error *err) {
    const void *data;
    size_t len;
    do {
        if (sb_layer_reader_next(reader, &data, &len, err) < 0 ||
            (len > 0 && sb_frames_put(frames, data, len, err) < 0))
            return -1;
    } while (len > 0);
    return 0;
}

static int convert(struct sb_store *store, const struct sb_layer *layer,
                   enum sb_compression compression, struct sb_layer *out, struct sb_error *err) {
    struct sb_pack_options options = {.compression = compression};
    struct sb_layer_reader *reader;
    struct sb_frames *frames;
    if (sb_layer_reader_open(store, &layer->descriptor, &reader, err) < 0)
        return -1;
    if (sb_frames_start(store, &options, &frames, err) < 0) {
        sb_layer_reader_abort(reader);
        return -1;
    }
    if (copy(reader, frames, err) < 0) {
        sb_layer_reader_abort(reader);
        sb_frames_abort(frames);
        return -1;
    }
    /* The source is verified before anything is published that is made of it. */
    struct sb_digest diff_id;
    if (sb_layer_reader_finish(reader, &diff_id, NULL, err) < 0) {
        sb_frames_abort(frames);
        return -1;
    }
    if (!sb_digest_equal(&diff_id, &layer->diff_id)) {
        sb_frames_abort(frames);
        return sb_fail(err, SB_E_INTEGRITY, "the layer %s has the diff ID %s, and should have %s",
                       sb_digest_text(&layer->descriptor.digest).text,
                       sb_digest_text(&diff_id).text, sb_digest_text(&layer->diff_id).text);
    }
    return sb_frames_finish(frames, out, err);
}

int sb_layer_convert(struct sb_store *store, const struct sb_layer *layer,
                     enum sb_compression compression, struct sb_layer *out, struct sb_error *err) {
    sb_autojson json_t *key = make_key(layer, compression);
    sb_autofree char *path = record_path(key);
    struct sb_digest digest = sb_json_digest_canonical(key);
    sb_autofree char *lock_path = sb_format("keys/%s", sb_digest_hex(&digest).text);
    sb_autoclose int lock =
        sb_lock_take(sb_store_private_fd(store), lock_path, SB_LOCK_EXCLUSIVE, err);
    if (lock < 0)
        return -1;
    if (find(store, path, layer, compression, out))
        return 0;
    if (convert(store, layer, compression, out, err) < 0)
        return sb_error_context(err, "compressing the layer %s anew",
                                sb_digest_text(&layer->descriptor.digest).text);
    return write_record(store, path, key, out, err);
}
