#include "builder/cache_record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "layers/descriptor.h"
#include "layers/image.h"
#include "layers/platform.h"
#include "layers/reader.h"
#include "layers/walk.h"

#define TAG_PREFIX "k1-"
#define VERSION    "1"
#define NAME_LIMIT 256       /* bytes of a recipe's or layer's name that is believed */
#define KEY_LIMIT  (1 << 20) /* bytes of key JSON that go into the config */

/* Annotations of the manifest. */
#define PREFIX        "dev.sbuild.cache."
#define NOTE_VERSION  PREFIX "version"
#define NOTE_KEY      PREFIX "key"
#define NOTE_DIFF_ID  PREFIX "diff-id"
#define NOTE_TAR_SIZE PREFIX "tar-size"
#define NOTE_RECIPE   PREFIX "recipe"
#define NOTE_LAYER    PREFIX "layer"
#define NOTE_SECONDS  PREFIX "seconds"
#define NOTE_CREATED  "org.opencontainers.image.created"

void sb_cache_record_free(struct sb_cache_record *record) {
    free(record->recipe);
    free(record->name);
    free(record->contents);
    sb_parts_free(&record->parts);
    *record = (struct sb_cache_record){0};
}

struct sb_cache_tag sb_cache_record_tag(const struct sb_digest *key) {
    struct sb_cache_tag tag;
    snprintf(tag.text, sizeof tag.text, TAG_PREFIX "%s", sb_digest_hex(key).text);
    return tag;
}

bool sb_cache_record_is_tag(const char *tag) {
    struct sb_digest ignored;
    size_t n = strlen(TAG_PREFIX);
    return !strncmp(tag, TAG_PREFIX, n) && sb_digest_parse_hex(tag + n, &ignored);
}

/* ---- times ---- */

struct when {
    char text[32];
};

static struct when when_of(int64_t seconds) {
    struct when w = {""};
    struct tm tm;
    time_t t = (time_t)seconds;
    if (gmtime_r(&t, &tm))
        strftime(w.text, sizeof w.text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return w;
}

/* Only what when_of writes. */
static bool parse_when(const char *text, int64_t *out) {
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end)
        return false;
    *out = (int64_t)timegm(&tm);
    return *out >= 0 && !strcmp(when_of(*out).text, text);
}

/* ---- reading ---- */

static int refuse(struct sb_error *err, const char *what) {
    return sb_fail(err, SB_E_INTEGRITY, "%s", what);
}

/* Digits alone, without a leading zero. */
static bool parse_number(const char *text, uint64_t *out) {
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 18 || text[n] || (n > 1 && *text == '0'))
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

/* A list has one for each part, and a blank between two. */
static void split(const char *text, struct sb_strings *out) {
    for (size_t n; out->n <= SB_PARTS_LIMIT; text += n + 1) {
        n = strcspn(text, " ");
        sb_strings_take(out, sb_strndup(text, n));
        if (!text[n])
            return;
    }
}

static bool parse_seconds(const char *text, double *out) {
    size_t n = strspn(text, "0123456789.");
    if (n == 0 || n > 18 || text[n] || *text == '.')
        return false;
    char *end;
    *out = strtod(text, &end);
    return !*end && isfinite(*out);
}

/* A name that somebody wrote, for tables and messages: cut rather than refused. */
static char *name_of(const json_t *notes, const char *key) {
    const char *text = sb_json_string(notes, key, "");
    size_t n = strlen(text);
    return sb_strndup(text, n > NAME_LIMIT ? NAME_LIMIT : n);
}

static int read_part_notes(const json_t *notes, struct sb_parts *out, struct sb_error *err) {
    sb_autostrings struct sb_strings diff_ids = {0}, sizes = {0};
    split(sb_json_string(notes, NOTE_DIFF_ID, ""), &diff_ids);
    split(sb_json_string(notes, NOTE_TAR_SIZE, ""), &sizes);
    if (diff_ids.n > SB_PARTS_LIMIT)
        return refuse(err, "it has more parts than a layer may have");
    for (size_t i = 0; i < diff_ids.n; i++) {
        struct sb_layer part = {0};
        if (sb_digest_parse(diff_ids.v[i], &part.diff_id, NULL) < 0)
            return refuse(err, "its diff ID is no digest");
        if (sizes.n != diff_ids.n || !parse_number(sizes.v[i], &part.tar_size))
            return refuse(err, "its size of the tar is no number");
        sb_parts_add(out, &part);
    }
    return 0;
}

static int read_notes(const json_t *notes, struct sb_cache_record *out, struct sb_error *err) {
    if (strcmp(sb_json_string(notes, NOTE_VERSION, ""), VERSION) != 0)
        return refuse(err, "it is no cache record of version " VERSION);
    if (sb_digest_parse(sb_json_string(notes, NOTE_KEY, ""), &out->key, NULL) < 0)
        return refuse(err, "its key is no digest");
    if (read_part_notes(notes, &out->parts, err) < 0)
        return -1;
    if (!parse_seconds(sb_json_string(notes, NOTE_SECONDS, "0"), &out->seconds))
        return refuse(err, "its time of building is no number");
    if (!parse_when(sb_json_string(notes, NOTE_CREATED, ""), &out->created))
        return refuse(err, "its time of creation is no time");
    out->recipe = name_of(notes, NOTE_RECIPE);
    out->name = name_of(notes, NOTE_LAYER);
    return 0;
}

static int read_part(const json_t *value, struct sb_layer *out, struct sb_error *err) {
    if (sb_descriptor_parse(value, &out->descriptor, err) < 0)
        return sb_error_context(err, "its layer");
    const char *type = out->descriptor.media_type;
    if (!type || (strcmp(type, SB_MEDIA_LAYER_ZSTD) != 0 &&
                  strcmp(type, SB_MEDIA_LAYER_GZIP) != 0 && strcmp(type, SB_MEDIA_LAYER_TAR) != 0))
        return refuse(err, "its layer has a media type that no layer of a record has");
    if (json_object_get(value, "urls"))
        return refuse(err, "its layer lies elsewhere");
    uint64_t size = out->descriptor.size;
    uint64_t most = size > SB_TAR_LIMIT / SB_TAR_RATIO ? size * SB_TAR_RATIO : SB_TAR_LIMIT;
    if (size == 0 || size > SB_CONTENT_LIMIT || out->tar_size < 1024 || out->tar_size > most)
        return refuse(err, "its layer has a size that can't be");
    return 0;
}

static int read_contents(const json_t *value, struct sb_descriptor *out, struct sb_error *err) {
    if (sb_descriptor_parse(value, out, err) < 0)
        return sb_error_context(err, "its table of contents");
    if (strcmp(sb_json_string(value, "mediaType", ""), SB_CACHE_CONTENTS_MEDIA) != 0)
        return refuse(err, "its table of contents has a media type that none has");
    if (out->size == 0 || out->size > SB_CACHE_CONTENTS_LIMIT)
        return refuse(err, "its table of contents has a size that can't be");
    return 0;
}

static int read_record(const json_t *manifest, struct sb_cache_record *out, struct sb_error *err) {
    const struct sb_descriptor self = {.media_type = SB_MEDIA_MANIFEST};
    const json_t *layers = json_object_get(manifest, "layers");
    size_t count = json_array_size(layers);
    size_t parts;
    struct sb_descriptor config;
    if (sb_manifest_check(manifest, &self, err) < 0)
        return -1;
    if (sb_descriptor_parse(json_object_get(manifest, "config"), &config, err) < 0)
        return sb_error_context(err, "its config");
    if (read_notes(json_object_get(manifest, "annotations"), out, err) < 0)
        return -1;
    parts = out->parts.n;
    if (count != parts && count != 2 * parts)
        return refuse(err,
                      "a record has its layer's parts, and perhaps a table of contents of each");
    for (size_t i = 0; i < parts; i++)
        if (read_part(json_array_get(layers, i), &out->parts.v[i], err) < 0)
            return -1;
    if (count > parts)
        out->contents = sb_alloc(parts * sizeof *out->contents);
    for (size_t i = parts; i < count; i++)
        if (read_contents(json_array_get(layers, i), &out->contents[i - parts], err) < 0)
            return -1;
    return 0;
}

int sb_cache_record_parse(const char *text, size_t len, struct sb_cache_record *out,
                          struct sb_error *err) {
    *out = (struct sb_cache_record){0};
    sb_autojson json_t *manifest = len > SB_MANIFEST_LIMIT ? NULL : sb_json_parse(text, len, NULL);
    if (!json_is_object(manifest))
        return refuse(err, "it is not a manifest");
    if (read_record(manifest, out, err) == 0)
        return 0;
    sb_cache_record_free(out);
    return -1;
}

uint64_t sb_cache_record_size(const struct sb_cache_record *record) {
    uint64_t size = sb_parts_size(&record->parts);
    for (size_t i = 0; record->contents && i < record->parts.n; i++)
        size += record->contents[i].size;
    return size;
}

/* ---- writing ---- */

/* What the layer is for; this machine's where it is for any. */
static const struct sb_platform *platform_of(const json_t *key, struct sb_platform *out) {
    const char *text = sb_json_string(key, "platform", NULL);
    return text && sb_platform_parse(text, out, NULL) == 0 ? out : sb_platform_own();
}

void sb_cache_record_config(const struct sb_cache_record *record,
                            const struct sb_digest *contents_diff_ids, const json_t *key,
                            struct sb_buf *out) {
    json_t *diff_ids = json_array();
    for (size_t i = 0; i < record->parts.n; i++)
        json_array_append_new(diff_ids,
                              json_string(sb_digest_text(&record->parts.v[i].diff_id).text));
    for (size_t i = 0; contents_diff_ids && i < record->parts.n; i++)
        json_array_append_new(diff_ids, json_string(sb_digest_text(&contents_diff_ids[i]).text));
    sb_autoplatform struct sb_platform its = {0};
    const struct sb_platform *platform = platform_of(key, &its);
    sb_autojson json_t *config = json_pack(
        "{s:s, s:s, s:o, s:{s:s, s:o}}", "architecture", platform->architecture, "os", "linux",
        "config", json_object(), "rootfs", "type", "layers", "diff_ids", diff_ids);
    if (platform->variant)
        json_object_set_new(config, "variant", json_string(platform->variant));
    sb_autobuf struct sb_buf text = {0};
    sb_json_write_canonical(key, &text);
    if (text.len <= KEY_LIMIT) /* nothing depends on it */
        json_object_set(config, "dev.sbuild.cache.key", (json_t *)key);
    sb_json_write_canonical(config, out);
}

static void set_note(json_t *notes, const char *key, const char *value) {
    json_object_set_new(notes, key, sb_json_from_bytes(value));
}

void sb_cache_record_print(const struct sb_cache_record *record, const struct sb_descriptor *config,
                           struct sb_buf *out) {
    json_t *layers = json_array(), *notes = json_object();
    const struct sb_parts *parts = &record->parts;
    sb_autobuf struct sb_buf diff_ids = {0}, tar_sizes = {0};
    for (size_t i = 0; i < parts->n; i++) {
        json_array_append_new(layers, sb_descriptor_json(&parts->v[i].descriptor));
        sb_buf_addf(&diff_ids, "%s%s", i ? " " : "", sb_digest_text(&parts->v[i].diff_id).text);
        sb_buf_addf(&tar_sizes, "%s%llu", i ? " " : "", (unsigned long long)parts->v[i].tar_size);
    }
    for (size_t i = 0; record->contents && i < parts->n; i++)
        json_array_append_new(layers, sb_descriptor_json(&record->contents[i]));
    sb_autofree char *seconds = sb_format("%.3f", record->seconds);
    set_note(notes, NOTE_VERSION, VERSION);
    set_note(notes, NOTE_KEY, sb_digest_text(&record->key).text);
    set_note(notes, NOTE_DIFF_ID, sb_buf_text(&diff_ids));
    set_note(notes, NOTE_TAR_SIZE, sb_buf_text(&tar_sizes));
    set_note(notes, NOTE_SECONDS, seconds);
    set_note(notes, NOTE_RECIPE, record->recipe ? record->recipe : "");
    set_note(notes, NOTE_LAYER, record->name ? record->name : "");
    set_note(notes, NOTE_CREATED, when_of(record->created).text);
    sb_autojson json_t *manifest =
        json_pack("{s:i, s:s, s:o, s:o, s:o}", "schemaVersion", 2, "mediaType", SB_MEDIA_MANIFEST,
                  "config", sb_descriptor_json(config), "layers", layers, "annotations", notes);
    sb_json_write_canonical(manifest, out);
}

int sb_cache_record_renew(const char *text, size_t len, int64_t now, struct sb_buf *out,
                          struct sb_error *err) {
    sb_autojson json_t *manifest = sb_json_parse(text, len, err);
    json_t *notes = json_object_get(manifest, "annotations");
    if (!json_is_object(notes))
        return refuse(err, "it is not a manifest");
    set_note(notes, NOTE_CREATED, when_of(now).text);
    sb_json_write_canonical(manifest, out);
    return 0;
}
