#include "document/image_config.h"

#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/environment.h"

/* Recipes are UTF-8; only an argument of the command line may not be. */
static json_t *text_json(const char *text) {
    return sb_text_is_utf8(text) ? json_string(text) : sb_json_from_bytes(text);
}

static json_t *config_of(const struct sb_image *image) {
    json_t *config = json_object_get(image->config, "config");
    return json_is_object(config) ? config : NULL;
}

int sb_image_environment(const struct sb_image *image, const struct sb_recipe *recipe,
                         const struct sb_strings *args, struct sb_pairs *out,
                         struct sb_error *err) {
    size_t i;
    json_t *item;
    json_array_foreach (json_object_get(config_of(image), "Env"), i, item) {
        const char *text = json_is_string(item) ? json_string_value(item) : "";
        const char *equals = strchr(text, '=');
        if (!equals)
            continue;
        sb_autofree char *name = sb_strndup(text, (size_t)(equals - text));
        sb_pairs_set(out, name, equals + 1);
    }
    const struct sb_recipe_image *settings = &recipe->image;
    if (sb_environment_add(out, &settings->env, &recipe->args, args, recipe->path, err) < 0)
        return -1;
    sb_environment_add_path(out, &settings->path);
    return 0;
}

void sb_image_add_path(struct sb_image *image) {
    static const char path[] = "PATH=" SB_DEFAULT_PATH;
    if (!config_of(image))
        json_object_set_new(image->config, "config", json_object());
    json_object_set_new(config_of(image), "Env", json_pack("[s]", path));
}

char *sb_image_workdir(const struct sb_image *image, const struct sb_recipe_image *settings) {
    const char *inherited = sb_json_string(config_of(image), "WorkingDir", "");
    if (settings->workdir)
        return sb_strdup(settings->workdir);
    return *inherited == '/' ? sb_strdup(inherited) : sb_format("/%s", inherited);
}

static void set_words(json_t *config, const char *key, const struct sb_strings *words) {
    json_t *array = json_array();
    for (size_t i = 0; i < words->n; i++)
        json_array_append_new(array, text_json(words->v[i]));
    json_object_set_new(config, key, array);
}

/* OCI's sets: an object whose keys are the members. */
static void add_members(json_t *config, const char *key, const struct sb_strings *members) {
    if (members->n == 0)
        return;
    json_t *set = json_object_get(config, key);
    if (!json_is_object(set)) {
        set = json_object();
        json_object_set_new(config, key, set);
    }
    for (size_t i = 0; i < members->n; i++)
        json_object_set_new(set, members->v[i], json_object());
}

static void set_environment(json_t *config, const struct sb_pairs *env) {
    json_t *array = json_array();
    for (size_t i = 0; i < env->n; i++) {
        sb_autofree char *line = sb_format("%s=%s", env->v[i].name, env->v[i].value);
        json_array_append_new(array, text_json(line));
    }
    if (env->n > 0)
        json_object_set_new(config, "Env", array);
    else
        json_decref(array);
}

static void set_labels(json_t *config, const struct sb_pairs *labels) {
    if (labels->n == 0)
        return;
    json_t *object = json_object_get(config, "Labels");
    if (!json_is_object(object)) {
        object = json_object();
        json_object_set_new(config, "Labels", object);
    }
    for (size_t i = 0; i < labels->n; i++)
        json_object_set_new(object, labels->v[i].name, text_json(labels->v[i].value));
}

static void set_text(json_t *config, const char *key, const char *value) {
    if (value)
        json_object_set_new(config, key, text_json(value));
}

void sb_image_configure(struct sb_image *image, const struct sb_recipe_image *settings,
                        const struct sb_pairs *env) {
    if (!config_of(image))
        json_object_set_new(image->config, "config", json_object());
    json_t *config = config_of(image);
    set_text(config, "User", settings->user);
    add_members(config, "ExposedPorts", &settings->ports);
    set_environment(config, env);
    if (settings->has_entrypoint) {
        set_words(config, "Entrypoint", &settings->entrypoint);
        json_object_del(config, "Cmd");
    }
    if (settings->has_cmd)
        set_words(config, "Cmd", &settings->cmd);
    add_members(config, "Volumes", &settings->volumes);
    set_text(config, "WorkingDir", settings->workdir);
    set_labels(config, &settings->labels);
    set_text(config, "StopSignal", settings->stop_signal);
}

static json_t *nanoseconds(uint64_t seconds) {
    const json_int_t second = 1000000000, most = INT64_MAX / second;
    return json_integer(seconds < (uint64_t)most ? (json_int_t)seconds * second : most * second);
}

/* Docker's extension of the config. Over HTTP or TCP it has nothing but a program of the image,
 * which may have none for that. */
static json_t *health_check(const struct sb_service *service) {
    enum { INTERVAL = 10, ANSWER = 30, TIMEOUT = 60, RETRIES = 3 };
    uint64_t interval = service->health_interval ? service->health_interval : INTERVAL;
    uint64_t answer = service->health_answer ? service->health_answer : ANSWER;
    uint64_t timeout = service->health_timeout ? service->health_timeout : TIMEOUT;
    json_t *check = json_object();
    json_object_set_new(check, "Test",
                        json_pack("[s, o]", "CMD-SHELL", text_json(service->health_command)));
    json_object_set_new(check, "Interval", nanoseconds(interval));
    json_object_set_new(check, "Timeout", nanoseconds(answer));
    json_object_set_new(check, "StartPeriod", nanoseconds(timeout));
    json_object_set_new(check, "Retries", json_integer(RETRIES));
    return check;
}

void sb_image_say_health(struct sb_image *image, const struct sb_service *service) {
    bool other = service->health_http || service->health_tcp;
    if (service->health_command)
        json_object_set_new(config_of(image), "Healthcheck", health_check(service));
    else if (other && config_of(image))
        json_object_del(config_of(image), "Healthcheck");
}

void sb_image_say_version(struct sb_image *image, const struct sb_recipe_image *settings,
                          const char *version) {
    struct sb_pairs labels = {0};
    if (sb_pairs_get(&settings->labels, SB_LABEL_VERSION))
        return;
    sb_pairs_set(&labels, SB_LABEL_VERSION, version);
    set_labels(config_of(image), &labels);
    sb_pairs_free(&labels);
}
