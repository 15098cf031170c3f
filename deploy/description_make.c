/* A description made from an image and, where there is one, its recipe. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "deploy/description_private.h"
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

static uint64_t choice_of(const struct sb_field *field, const char *text) {
    const char *const *values = sb_field_values(field);
    uint64_t i = 0;
    while (text && values[i] && strcmp(values[i], text) != 0)
        i++;
    return text && values[i] ? i : 0;
}

static void add_pairs(const struct sb_pairs *from, struct sb_pairs *to) {
    sb_pairs_add(to, from);
    sb_pairs_sort(to);
}

/* What the recipe says at said, or is usual. */
static void take_over(const struct sb_field *field, const struct sb_service *s, const void *said,
                      void *at) {
    switch (field->type) {
    case SB_FIELD_TEXT:
        *(char **)at = copy(*(char *const *)said);
        break;
    case SB_FIELD_SIZE:
        *(char **)at = size_of(*(char *const *)said);
        break;
    case SB_FIELD_NUMBER:
    case SB_FIELD_DEVICES:
        sb_field_set_number(
            field, at, sb_service_says(s, field->said) ? *(const uint64_t *)said : field->usual);
        break;
    case SB_FIELD_BOOL:
        *(bool *)at = *(const bool *)said;
        break;
    case SB_FIELD_CHOICE:
        sb_field_set_number(field, at, choice_of(field, *(char *const *)said));
        break;
    case SB_FIELD_DEVICE:
        *(bool *)at = sb_strings_has(said, *field->values);
        break;
    case SB_FIELD_STRINGS:
        sb_strings_copy(at, said);
        break;
    case SB_FIELD_UNITS:
        add_units(said, at);
        break;
    case SB_FIELD_PAIRS:
        add_pairs(said, at);
        break;
    default:
        break;
    }
}

static void take_all(const struct sb_field *field, const struct sb_service *s,
                     struct sb_description *out) {
    for (; field->key; field++) {
        if (field->type == SB_FIELD_OBJECT)
            take_all(field->fields, s, out);
        else if (field->said)
            take_over(field, s, (const char *)s + field->said, (char *)out + field->offset);
    }
}

static void from_service(const struct sb_service *s, struct sb_description *out) {
    take_all(sb_description_fields, s, out);
    out->harden_off = s->harden_off;
    if (s->type && !strcmp(s->type, "oneshot")) /* another word for it */
        out->type = SB_SERVICE_JOB;
    if (out->type == SB_SERVICE_JOB && !s->restart)
        out->restart = SB_RESTART_NO;
    if (out->type == SB_SERVICE_JOB && !s->start_timeout)
        out->start_timeout = 0;
    if (out->strategy == SB_STRATEGY_BLUE_GREEN && !out->upstream)
        out->upstream = sb_format("%s.conf", out->name);
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
    from_service(service ? service : &none, out);
    if (from_config(image, recipe, out, err) < 0)
        return -1;
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
