/* A description as JSON, both ways. What values may be is in description_check.c. */
#include "deploy/description.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "layers/descriptor.h"

/* ---- names ---- */

static const char *const types[] = {
#define X(value, name, systemd) [value] = (name),
    SB_SERVICE_TYPES(X)
#undef X
        NULL};
static const char *const restarts[] = {"always", "on-failure", "no", NULL};
static const char *const roots[] = {"layers", "host", NULL};
static const char *const strategies[] = {"recreate", "blue-green", NULL};
static const char *const directories[] = {"state", "cache", "logs", NULL};
static const char *const switches[] = {
#define X(bit, key, meaning) [bit] = (key),
    SB_HARDEN_SWITCHES(X)
#undef X
        NULL};

const char *sb_service_restart_name(enum sb_service_restart how) {
    return restarts[how];
}

char *sb_service_directory_path(const char *service, enum sb_service_directory which) {
    static const char *const places[] = {[SB_DIRECTORY_STATE] = "/var/lib",
                                         [SB_DIRECTORY_CACHE] = "/var/cache",
                                         [SB_DIRECTORY_LOGS] = "/var/log"};
    return sb_format("%s/%s", places[which], service);
}

void sb_description_free(struct sb_description *d) {
    char *const texts[] = {d->name,        d->version,        d->repository,  d->schedule,
                           d->user,        d->workdir,        d->stop_signal, d->upstream,
                           d->health_http, d->health_command, d->health_host, d->cpu,
                           d->swap,        d->memlock,        d->core,        d->stack};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++)
        free(d->directories[i]);
    free(d->layers);
    sb_strings_free(&d->argv);
    sb_pairs_free(&d->env);
    sb_pairs_free(&d->host);
    sb_strings_free(&d->volumes);
    sb_strings_free(&d->secrets);
    sb_strings_free(&d->after);
    sb_strings_free(&d->requires);
    *d = (struct sb_description){0};
}

/* ---- writing ---- */

static json_t *text_or_null(const char *text) {
    return text ? json_string(text) : json_null();
}

static json_t *strings_json(const struct sb_strings *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(array, json_string(list->v[i]));
    return array;
}

static json_t *layers_json(const struct sb_description *d) {
    json_t *array = json_array();
    for (size_t i = 0; i < d->layer_count; i++) {
        const struct sb_layer *layer = &d->layers[i].layer;
        json_t *one = sb_descriptor_json(&layer->descriptor);
        json_object_set_new(one, "diffId", json_string(sb_digest_text(&layer->diff_id).text));
        json_object_set_new(one, "tarSize", json_integer((json_int_t)layer->tar_size));
        json_object_set_new(one, "application", json_boolean(d->layers[i].application));
        json_array_append_new(array, one);
    }
    return array;
}

static json_t *env_json(const struct sb_pairs *env) {
    json_t *object = json_object();
    for (size_t i = 0; i < env->n; i++)
        json_object_set_new(object, env->v[i].name, json_string(env->v[i].value));
    return object;
}

/* What came later is left out where it says what was so before, or what nobody said: nodes with an
 * older sbuild take the document then. */
static void set_unless(json_t *object, const char *key, uint32_t value, uint32_t usual) {
    if (value != usual)
        json_object_set_new(object, key, json_integer(value));
}

static void set_text(json_t *object, const char *key, const char *value) {
    if (value)
        json_object_set_new(object, key, json_string(value));
}

static json_t *health_json(const struct sb_description *d) {
    json_t *object =
        json_pack("{s:o, s:i, s:o, s:I, s:I}", "http", text_or_null(d->health_http), "tcp",
                  (int)d->health_tcp, "command", text_or_null(d->health_command), "timeout",
                  (json_int_t)d->health_timeout, "interval", (json_int_t)d->health_interval);
    set_unless(object, "answer", d->health_answer ? d->health_answer : SB_SERVICE_HEALTH_ANSWER,
               SB_SERVICE_HEALTH_ANSWER);
    set_unless(object, "steady", d->health_steady, SB_SERVICE_HEALTH_STEADY);
    set_text(object, "host", d->health_host);
    return object;
}

static json_t *gpu_json(const struct sb_description *d) {
    json_t *devices = json_array();
    for (int i = 0; i < SB_GPU_LIMIT; i++)
        if (d->gpu_devices >> i & 1)
            json_array_append_new(devices, json_integer(i));
    return json_pack("{s:i, s:o, s:b}", "count", (int)d->gpu, "devices", devices, "shared",
                     (int)d->gpu_shared);
}

static json_t *directories_json(const struct sb_description *d) {
    json_t *object = json_object();
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++)
        json_object_set_new(object, directories[i], text_or_null(d->directories[i]));
    if (d->host.n) /* earlier descriptions have not got it */
        json_object_set_new(object, "host", env_json(&d->host));
    return object;
}

static json_t *limits_json(const struct sb_description *d) {
    json_t *object = json_pack("{s:I, s:o, s:I, s:I}", "memory", (json_int_t)d->memory, "cpu",
                               text_or_null(d->cpu), "tasks", (json_int_t)d->tasks, "files",
                               (json_int_t)d->files);
    set_text(object, "swap", d->swap);
    set_text(object, "memlock", d->memlock);
    set_text(object, "core", d->core);
    set_text(object, "stack", d->stack);
    return object;
}

bool sb_description_own_ids(const struct sb_description *d) {
    return !(d->harden_off >> SB_HARDEN_OWN_IDS & 1);
}

/* Descriptions of before this switch was there have not got it, and mean it as it is without. */
static bool is_left_out(const struct sb_description *d, size_t which) {
    return which == SB_HARDEN_OWN_IDS && sb_description_own_ids(d);
}

static json_t *harden_json(const struct sb_description *d) {
    json_t *object = json_object();
    for (size_t i = 0; i < SB_HARDEN_COUNT; i++)
        if (!is_left_out(d, i))
            json_object_set_new(object, switches[i], json_boolean(!(d->harden_off >> i & 1)));
    return object;
}

json_t *sb_description_json(const struct sb_description *d) {
    json_t *image = sb_descriptor_json(&d->image);
    json_object_set_new(image, "repository", text_or_null(d->repository));
    json_t *json = json_pack("{s:i, s:o, s:o, s:o, s:o}", "format", SB_DESCRIPTION_FORMAT, "name",
                             text_or_null(d->name), "version", text_or_null(d->version), "image",
                             image, "layers", layers_json(d));
    sb_autojson json_t *run = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:o, s:I}", "type", types[d->type],
        "schedule", text_or_null(d->schedule), "argv", strings_json(&d->argv), "user",
        text_or_null(d->user), "workdir", text_or_null(d->workdir), "env", env_json(&d->env),
        "stopSignal", text_or_null(d->stop_signal), "port", (int)d->port, "sparePort",
        (int)d->spare_port, "upstream", text_or_null(d->upstream), "drain", (json_int_t)d->drain);
    sb_autojson json_t *how = json_pack(
        "{s:o, s:I, s:I, s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "health",
        health_json(d), "startTimeout", (json_int_t)d->start_timeout, "stopTimeout",
        (json_int_t)d->stop_timeout, "gpu", gpu_json(d), "restart", restarts[d->restart], "root",
        roots[d->root], "strategy", strategies[d->strategy], "directories", directories_json(d),
        "volumes", strings_json(&d->volumes), "secrets", strings_json(&d->secrets), "after",
        strings_json(&d->after), "requires", strings_json(&d->requires), "limits", limits_json(d),
        "harden", harden_json(d));
    if (d->infiniband) /* nor this */
        json_object_set_new(json, "devices", json_pack("[s]", "infiniband"));
    json_object_update(json, run);
    json_object_update(json, how);
    return json;
}

void sb_description_write(const struct sb_description *d, struct sb_buf *out) {
    sb_autojson json_t *json = sb_description_json(d);
    sb_json_write_canonical(json, out);
}

/* ---- reading: every key must be there, have its type, and be taken ---- */

struct source {
    json_t *left; /* keys are taken out of it as they are read */
    const char *where;
    struct sb_error *err;
    bool failed;
};

static void fail(struct source *s, const char *key, const char *what) {
    if (!s->failed)
        sb_fail(s->err, SB_E_INTEGRITY, "%s%s%s: %s", s->where, *s->where && *key ? "." : "", key,
                what);
    s->failed = true;
}

/* A new reference, or NULL and failed. */
static json_t *take(struct source *s, const char *key) {
    json_t *value = json_incref(json_object_get(s->left, key));
    if (!value)
        fail(s, key, "is missing");
    else
        json_object_del(s->left, key);
    return value;
}

static char *take_text(struct source *s, const char *key, bool may_be_null) {
    sb_autojson json_t *value = take(s, key);
    if (json_is_string(value))
        return sb_strdup(json_string_value(value)); /* jansson takes no NUL */
    if (value && !(may_be_null && json_is_null(value)))
        fail(s, key, "is no text");
    return NULL;
}

/* Of keys that are left out where nothing is said. */
static char *take_text_if(struct source *s, const char *key) {
    return json_object_get(s->left, key) ? take_text(s, key, false) : NULL;
}

static json_int_t take_number(struct source *s, const char *key, json_int_t most) {
    sb_autojson json_t *value = take(s, key);
    json_int_t number = json_integer_value(value);
    if (value && (!json_is_integer(value) || number < 0 || number > most))
        fail(s, key, "is no number in its range");
    return s->failed ? 0 : number;
}

static uint32_t take_seconds_if(struct source *s, const char *key, uint32_t usual) {
    return json_object_get(s->left, key) ? (uint32_t)take_number(s, key, SB_SERVICE_HEALTH_LIMIT)
                                         : usual;
}

static bool take_bool(struct source *s, const char *key) {
    sb_autojson json_t *value = take(s, key);
    if (value && !json_is_boolean(value))
        fail(s, key, "is neither true nor false");
    return json_is_true(value);
}

static int take_choice(struct source *s, const char *key, const char *const *values) {
    sb_autofree char *text = take_text(s, key, false);
    for (int i = 0; text && values[i]; i++)
        if (!strcmp(values[i], text))
            return i;
    fail(s, key, "is none of the values that there are");
    return 0;
}

static struct sb_digest take_digest(struct source *s, const char *key) {
    struct sb_digest digest = {0};
    sb_autofree char *text = take_text(s, key, false);
    if (text && sb_digest_parse(text, &digest, NULL) < 0)
        fail(s, key, "is no digest");
    return digest;
}

static void take_strings(struct source *s, const char *key, size_t most, struct sb_strings *out) {
    sb_autojson json_t *value = take(s, key);
    size_t i;
    json_t *item;
    if (value && (!json_is_array(value) || json_array_size(value) > most)) {
        fail(s, key, "is no list, or too long");
        return;
    }
    json_array_foreach (value, i, item) {
        if (!json_is_string(item)) {
            fail(s, key, "is no list of texts");
            return;
        }
        sb_strings_add(out, json_string_value(item));
    }
}

/* An object of its own; to be ended with end_object. */
static struct source take_object(struct source *s, const char *key) {
    json_t *value = take(s, key);
    if (value && !json_is_object(value))
        fail(s, key, "is no object");
    return (struct source){json_is_object(value) ? value : (json_decref(value), json_object()), key,
                           s->err, s->failed};
}

static void no_more_keys(struct source *s) {
    const char *key = json_object_iter_key(json_object_iter(s->left));
    if (!key || s->failed)
        return;
    sb_fail(s->err, SB_E_INTEGRITY, "%s%sthe key %s is not known to this sbuild", s->where,
            *s->where ? ": " : "", sb_text_shown(key).text);
    sb_error_hint(s->err, "it was made by a later version");
    s->failed = true;
}

static void end_object(struct source *s, struct source *object) {
    no_more_keys(object);
    s->failed = s->failed || object->failed;
    json_decref(object->left);
}

static void read_descriptor(struct source *s, struct sb_descriptor *out, enum sb_media_kind kind) {
    sb_autofree char *type = take_text(s, "mediaType", false);
    out->media_type = type ? sb_media_static(type) : NULL;
    if (!s->failed && sb_media_kind(out->media_type) != kind)
        fail(s, "mediaType", "is of the wrong kind");
    out->digest = take_digest(s, "digest");
    out->size = (uint64_t)take_number(s, "size", INT64_MAX);
}

static void read_layers(struct source *s, struct sb_description *out) {
    sb_autojson json_t *value = take(s, "layers");
    size_t n = json_array_size(value);
    if (value && (!json_is_array(value) || n > SB_LAYER_LIMIT))
        fail(s, "layers", "is no list, or too long");
    if (s->failed)
        return;
    out->layers = sb_alloc((n + 1) * sizeof *out->layers);
    out->layer_count = n;
    for (size_t i = 0; i < n && !s->failed; i++) {
        json_t *item = json_array_get(value, i);
        if (!json_is_object(item)) {
            fail(s, "layers", "is no list of objects");
            return;
        }
        struct source one = {json_incref(item), "layers", s->err, s->failed};
        struct sb_described_layer *layer = &out->layers[i];
        read_descriptor(&one, &layer->layer.descriptor, SB_MEDIA_KIND_LAYER);
        layer->layer.diff_id = take_digest(&one, "diffId");
        layer->layer.tar_size = (uint64_t)take_number(&one, "tarSize", INT64_MAX);
        layer->application = take_bool(&one, "application");
        end_object(s, &one);
    }
}

static void read_image(struct source *s, struct sb_description *out) {
    struct source image = take_object(s, "image");
    read_descriptor(&image, &out->image, SB_MEDIA_KIND_MANIFEST);
    out->repository = take_text(&image, "repository", true);
    end_object(s, &image);
}

static void read_pairs(struct source *s, const char *name, struct sb_pairs *out) {
    struct source env = take_object(s, name);
    const char *key;
    json_t *value;
    json_object_foreach (env.left, key, value) {
        if (!json_is_string(value))
            fail(&env, "", "has a value that is no text");
        else
            sb_pairs_set(out, key, json_string_value(value));
    }
    json_object_clear(env.left);
    end_object(s, &env);
}

static void read_health(struct source *s, struct sb_description *out) {
    struct source health = take_object(s, "health");
    out->health_http = take_text(&health, "http", true);
    out->health_tcp = (uint16_t)take_number(&health, "tcp", 65535);
    out->health_command = take_text(&health, "command", true);
    out->health_timeout = (uint32_t)take_number(&health, "timeout", UINT32_MAX);
    out->health_interval = (uint32_t)take_number(&health, "interval", UINT32_MAX);
    out->health_answer = take_seconds_if(&health, "answer", SB_SERVICE_HEALTH_ANSWER);
    out->health_steady = take_seconds_if(&health, "steady", SB_SERVICE_HEALTH_STEADY);
    out->health_host = take_text_if(&health, "host");
    end_object(s, &health);
}

static void read_gpu(struct source *s, struct sb_description *out) {
    struct source gpu = take_object(s, "gpu");
    size_t i;
    json_t *item;
    out->gpu = (unsigned)take_number(&gpu, "count", SB_GPU_LIMIT);
    sb_autojson json_t *devices = take(&gpu, "devices");
    if (devices && !json_is_array(devices))
        fail(&gpu, "devices", "is no list");
    json_array_foreach (devices, i, item) {
        json_int_t n = json_integer_value(item);
        if (json_is_integer(item) && n >= 0 && n < SB_GPU_LIMIT && !(out->gpu_devices >> n & 1))
            out->gpu_devices |= UINT64_C(1) << n;
        else
            fail(&gpu, "devices", "is no list of different devices");
    }
    out->gpu_shared = take_bool(&gpu, "shared");
    end_object(s, &gpu);
}

static void read_places(struct source *s, struct sb_description *out) {
    struct source limits = take_object(s, "limits"), places = take_object(s, "directories");
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++)
        out->directories[i] = take_text(&places, directories[i], true);
    if (json_object_get(places.left, "host"))
        read_pairs(&places, "host", &out->host);
    out->memory = (uint64_t)take_number(&limits, "memory", INT64_MAX);
    out->cpu = take_text(&limits, "cpu", true);
    out->tasks = (int64_t)take_number(&limits, "tasks", INT64_MAX);
    out->files = (int64_t)take_number(&limits, "files", INT64_MAX);
    out->swap = take_text_if(&limits, "swap");
    out->memlock = take_text_if(&limits, "memlock");
    out->core = take_text_if(&limits, "core");
    out->stack = take_text_if(&limits, "stack");
    end_object(s, &places);
    end_object(s, &limits);
}

static void read_devices(struct source *s, struct sb_description *out) {
    sb_autostrings struct sb_strings devices = {0};
    if (!json_object_get(s->left, "devices"))
        return;
    take_strings(s, "devices", 1, &devices);
    out->infiniband = sb_strings_has(&devices, "infiniband");
    if (!out->infiniband)
        fail(s, "devices", "has none that there are");
}

static void read_harden(struct source *s, struct sb_description *out) {
    struct source harden = take_object(s, "harden");
    for (unsigned i = 0; i < SB_HARDEN_COUNT; i++)
        if ((i != SB_HARDEN_OWN_IDS || json_object_get(harden.left, switches[i])) &&
            !take_bool(&harden, switches[i]))
            out->harden_off |= 1u << i;
    end_object(s, &harden);
}

static void read_all(struct source *s, struct sb_description *out) {
    if (take_number(s, "format", INT64_MAX) != SB_DESCRIPTION_FORMAT)
        fail(s, "format", "is of another version of sbuild");
    out->name = take_text(s, "name", false);
    out->version = take_text(s, "version", true);
    read_image(s, out);
    read_layers(s, out);
    out->type = (enum sb_service_type)take_choice(s, "type", types);
    out->schedule = take_text(s, "schedule", true);
    take_strings(s, "argv", 10000, &out->argv);
    out->user = take_text(s, "user", false);
    out->workdir = take_text(s, "workdir", false);
    read_pairs(s, "env", &out->env);
    out->stop_signal = take_text(s, "stopSignal", true);
    out->port = (uint16_t)take_number(s, "port", 65535);
    out->spare_port = (uint16_t)take_number(s, "sparePort", 65535);
    out->upstream = take_text(s, "upstream", true);
    out->drain = (uint32_t)take_number(s, "drain", SB_DRAIN_LIMIT);
    read_health(s, out);
    out->start_timeout = (uint32_t)take_number(s, "startTimeout", UINT32_MAX);
    out->stop_timeout = (uint32_t)take_number(s, "stopTimeout", UINT32_MAX);
    read_gpu(s, out);
    read_devices(s, out);
    out->restart = (enum sb_service_restart)take_choice(s, "restart", restarts);
    out->root = (enum sb_service_root)take_choice(s, "root", roots);
    out->strategy = (enum sb_service_strategy)take_choice(s, "strategy", strategies);
    read_places(s, out);
    take_strings(s, "volumes", 100, &out->volumes);
    take_strings(s, "secrets", 100, &out->secrets);
    take_strings(s, "after", 100, &out->after);
    take_strings(s, "requires", 100, &out->requires);
    read_harden(s, out);
    no_more_keys(s);
}

int sb_description_parse(const char *text, size_t len, struct sb_description *out,
                         struct sb_error *err) {
    *out = (struct sb_description){0};
    if (len > SB_DESCRIPTION_LIMIT)
        return sb_fail(err, SB_E_INTEGRITY, "the service's description is too large");
    struct sb_error own = {0};
    sb_autojson json_t *json = sb_json_parse(text, len, &own);
    if (!json_is_object(json))
        return sb_fail(err, SB_E_INTEGRITY, "the service's description: %s",
                       json ? "is no object" : own.message);
    struct source source = {json, "", err, false};
    read_all(&source, out);
    if (source.failed || sb_description_check(out, err) < 0) {
        sb_description_free(out);
        return sb_error_context(err, "the service's description");
    }
    return 0;
}
