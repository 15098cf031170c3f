/* A description made from an image and, where there is one, its recipe. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "deploy/description.h"
#include "document/environment.h"
#include "document/image_config.h"

static char *copy(const char *text) {
    return text && *text ? sb_strdup(text) : NULL;
}

/* ---- what the image's config says ---- */

static void add_words(const json_t *config, const char *key, struct sb_strings *out) {
    size_t i;
    json_t *word;
    json_array_foreach (json_object_get(config, key), i, word) {
        sb_strings_add(out, json_string_value(word));
    }
}

static int make_env(const json_t *config, const struct sb_recipe *recipe, struct sb_pairs *out,
                    struct sb_error *err) {
    size_t i;
    json_t *item;
    json_array_foreach (json_object_get(config, "Env"), i, item) {
        const char *text = json_string_value(item), *equals = strchr(text, '=');
        sb_autofree char *name = equals ? sb_strndup(text, (size_t)(equals - text)) : NULL;
        if (name)
            sb_pairs_set(out, name, equals + 1);
    }
    if (recipe &&
        sb_environment_add(out, &recipe->service.env, &recipe->args, NULL, recipe->path, err) < 0)
        return -1;
    sb_pairs_sort(out);
    return 0;
}

/* The only TCP port that the image names, or 0. */
static uint16_t exposed_port(const json_t *config) {
    const char *key;
    json_t *value, *ports = json_object_get(config, "ExposedPorts");
    long port = 0;
    json_object_foreach (ports, key, value) {
        char *end;
        long one = strtol(key, &end, 10);
        if (one < 1 || one > 65535 || (*end && strcmp(end, "/tcp") != 0))
            continue;
        if (port)
            return 0;
        port = one;
    }
    return (uint16_t)port;
}

/* Where it may write anyway. */
static bool is_writable(const struct sb_description *d, const char *path) {
    static const char *const own[] = {"/", "/tmp", "/var/tmp", "/run"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(path, own[i]))
            return true;
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++)
        if (d->directories[i] && sb_path_is_below(path, d->directories[i]))
            return true;
    for (size_t i = 0; i < d->host.n; i++) /* or sees the node's */
        if (sb_path_is_below(path, d->host.v[i].value))
            return true;
    return false;
}

static void add_volumes(const struct sb_image *image, struct sb_description *out) {
    const json_t *config = json_object_get(image->config, "config");
    const char *key;
    json_t *value;
    json_object_foreach (json_object_get(config, "Volumes"), key, value) {
        sb_autofree char *path = sb_path_clean(key);
        if (!is_writable(out, path) && !sb_strings_has(&out->volumes, path))
            sb_strings_add(&out->volumes, path);
    }
    sb_strings_sort(&out->volumes);
}

static int from_config(const struct sb_image *image, const struct sb_recipe *recipe,
                       struct sb_description *out, struct sb_error *err) {
    const json_t *config = json_object_get(image->config, "config");
    add_words(config, "Entrypoint", &out->argv);
    add_words(config, "Cmd", &out->argv);
    if (out->argv.n == 0) {
        sb_fail(err, SB_E_FAILED, "the image does not say what to run");
        return sb_error_hint(err, "add image: {entrypoint: […]} to its recipe");
    }
    const char *workdir = sb_json_string(config, "WorkingDir", "");
    out->user = sb_strdup(sb_json_string(config, "User", ""));
    out->workdir = *workdir == '/' ? sb_path_clean(workdir) : sb_format("/%s", workdir);
    out->stop_signal = copy(sb_json_string(config, "StopSignal", NULL));
    if (make_env(config, recipe, &out->env, err) < 0)
        return -1;
    if (!recipe || !recipe->service.present)
        out->port = exposed_port(config);
    if (!out->version)
        out->version =
            copy(sb_json_string(json_object_get(config, "Labels"), SB_LABEL_VERSION, NULL));
    return 0;
}

static void add_layers(const struct sb_image *image, size_t application,
                       struct sb_description *out) {
    out->image = image->descriptor;
    out->layers = sb_alloc((image->layer_count + 1) * sizeof *out->layers);
    out->layer_count = image->layer_count;
    for (size_t i = 0; i < image->layer_count; i++) {
        out->layers[i].layer = image->layers[i].layer;
        out->layers[i].application = i + application >= image->layer_count;
    }
}

/* ---- what the recipe says ---- */

static enum sb_service_type type_of(const char *text) {
    return !text || !strcmp(text, "service") ? SB_SERVICE_EXEC
           : !strcmp(text, "notify")         ? SB_SERVICE_NOTIFY
           : !strcmp(text, "simple")         ? SB_SERVICE_SIMPLE
                                             : SB_SERVICE_JOB;
}

static enum sb_service_restart restart_of(const char *text, enum sb_service_type type) {
    if (!text)
        return type == SB_SERVICE_JOB ? SB_RESTART_NO : SB_RESTART_ALWAYS;
    return !strcmp(text, "always") ? SB_RESTART_ALWAYS
           : !strcmp(text, "no")   ? SB_RESTART_NO
                                   : SB_RESTART_ON_FAILURE;
}

/* "backend" is the unit "backend.service". */
static void add_units(const struct sb_strings *names, struct sb_strings *out) {
    static const char *const types[] = {".service", ".socket", ".target", ".mount",
                                        ".path",    ".timer",  ".device", ".slice"};
    for (size_t i = 0; i < names->n; i++) {
        const char *dot = strrchr(names->v[i], '.');
        bool whole = false;
        for (size_t j = 0; dot && j < sizeof types / sizeof *types; j++)
            whole = whole || !strcmp(dot, types[j]);
        sb_strings_addf(out, "%s%s", names->v[i], whole ? "" : ".service");
    }
}

/* In bytes: "64Mi" is 67108864. */
static char *size_of(const char *text) {
    uint64_t bytes;
    if (!text || !*text)
        return NULL;
    return sb_text_parse_size(text, &bytes) ? sb_format("%" PRIu64, bytes) : sb_strdup(text);
}

static uint32_t seconds(uint64_t given, uint32_t fallback) {
    return given ? (uint32_t)given : fallback;
}

static void from_service(const struct sb_service *s, struct sb_description *out) {
    out->type = type_of(s->type);
    out->schedule = copy(s->schedule);
    if (s->port)
        out->port = (uint16_t)s->port;
    out->spare_port = (uint16_t)s->spare_port;
    out->health_http = copy(s->health_http);
    out->health_command = copy(s->health_command);
    out->health_tcp = (uint16_t)s->health_tcp;
    out->health_timeout = seconds(s->health_timeout, SB_SERVICE_HEALTH_TIMEOUT);
    out->health_interval = seconds(s->health_interval, SB_SERVICE_HEALTH_EVERY);
    out->health_answer = seconds(s->health_answer, SB_SERVICE_HEALTH_ANSWER);
    out->health_steady = s->has_steady ? (uint32_t)s->health_steady : SB_SERVICE_HEALTH_STEADY;
    out->health_host = copy(s->health_host);
    out->start_timeout =
        seconds(s->start_timeout, out->type == SB_SERVICE_JOB ? 0 : SB_SERVICE_START_TIMEOUT);
    out->stop_timeout = seconds(s->stop_timeout, SB_SERVICE_STOP_TIMEOUT);
    out->drain = s->has_drain ? (uint32_t)s->drain : SB_SERVICE_DRAIN;
    out->gpu = (unsigned)s->gpu;
    out->gpu_devices = s->gpu_devices;
    out->gpu_shared = s->gpu_shared;
    out->restart = restart_of(s->restart, out->type);
    out->root = s->root && !strcmp(s->root, "host") ? SB_ROOT_HOST : SB_ROOT_LAYERS;
    if (s->strategy && !strcmp(s->strategy, "blue-green")) {
        out->strategy = SB_STRATEGY_BLUE_GREEN;
        out->upstream = s->upstream ? sb_strdup(s->upstream) : sb_format("%s.conf", out->name);
    }
    out->directories[SB_DIRECTORY_STATE] = copy(s->state);
    out->directories[SB_DIRECTORY_CACHE] = copy(s->cache);
    out->directories[SB_DIRECTORY_LOGS] = copy(s->logs);
    for (size_t i = 0; i < s->host.n; i++)
        sb_pairs_set(&out->host, s->host.v[i].name, s->host.v[i].value);
    sb_pairs_sort(&out->host);
    out->infiniband = sb_strings_has(&s->devices, "infiniband");
    sb_strings_copy(&out->secrets, &s->secrets);
    add_units(&s->after, &out->after);
    add_units(&s->requires, &out->requires);
    out->memory = s->memory_limit;
    out->cpu = copy(s->cpu_limit);
    out->tasks = s->tasks_limit;
    out->files = s->files_limit;
    out->swap = size_of(s->swap_limit);
    out->memlock = size_of(s->memlock_limit);
    out->core = size_of(s->core_limit);
    out->stack = size_of(s->stack_limit);
    out->harden_off = s->harden_off;
}

/* ---- all of it ---- */

static int make(const struct sb_image *image, const struct sb_recipe *recipe,
                struct sb_description *out, struct sb_error *err) {
    static const struct sb_service none;
    const struct sb_service *service = recipe && recipe->service.present ? &recipe->service : NULL;
    if (!out->name || !sb_service_name_valid(out->name)) {
        sb_fail(err, SB_E_FAILED, "%s can't be the name of a service",
                sb_text_shown(out->name ? out->name : "").text);
        return sb_error_hint(err,
                             "a service's name has lower-case letters and digits, joined by . "
                             "_ or -, %d at most",
                             SB_SERVICE_NAME_LIMIT);
    }
    if (from_config(image, recipe, out, err) < 0)
        return -1;
    from_service(service ? service : &none, out);
    add_volumes(image, out);
    struct sb_error own = {0};
    if (sb_description_check(out, &own) == 0)
        return 0;
    sb_fail(err, SB_E_FAILED, "a service can't be made of this image: %s", own.message);
    return -1;
}

int sb_description_make(const struct sb_image *image, const struct sb_recipe *recipe,
                        size_t application_layers, const char *name, const char *version,
                        struct sb_description *out, struct sb_error *err) {
    *out = (struct sb_description){
        .name = copy(name     ? name
                     : recipe ? recipe->name
                              : NULL),
        .version = copy(version  ? version
                        : recipe ? recipe->version
                                 : NULL),
        .repository = copy(recipe ? recipe->image.repository : NULL),
    };
    add_layers(image, application_layers, out);
    if (make(image, recipe, out, err) == 0)
        return 0;
    sb_description_free(out);
    return -1;
}
