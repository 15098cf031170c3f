/* layers: and the steps in them. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/arguments.h"
#include "document/recipe_private.h"
#include "layers/entry.h"

#define AT(member) offsetof(struct sb_step, member)

enum { STEP_LIMIT = 256 }; /* in one layer */

static void read_network(struct sb_reader *reader, const struct sb_key *key,
                         const struct sb_yaml *node, void *target) {
    static const char *const values[] = {"none", "host", NULL};
    struct sb_step *step = target;
    int choice = -1;
    struct sb_key word = {.name = key->name, .type = SB_KEY_CHOICE, .values = values};
    sb_schema_read_key(reader, &word, node, &choice);
    step->network_given = choice >= 0;
    step->network = choice == 1;
}

static json_t *network_schema(const struct sb_key *key) {
    static const char *const values[] = {"none", "host", NULL};
    (void)key;
    return sb_schema_of_key(&(struct sb_key){.type = SB_KEY_CHOICE, .values = values});
}

struct cache {
    char *path, *shared;
};

static const struct sb_key cache_keys[] = {
    {"path", SB_KEY_STRING, offsetof(struct cache, path), .required = true, .shorthand = true,
     .rule = &sb_rule_absolute, .description = "The directory."},
    {"shared", SB_KEY_STRING, offsetof(struct cache, shared), .rule = &sb_rule_name,
     .fallback = "it is the recipe's own",
     .description = "All recipes that give this name to the directory share it, and believe one "
                    "another."},
    {0},
};

enum { CACHE_LIMIT = 32 }; /* of one step */

/* Which of the step's caches has that place; their count when none has. */
static size_t find_cache(const struct sb_step *step, const char *path) {
    sb_autofree char *clean = sb_path_clean(path);
    for (size_t i = 0; i < step->caches.n; i++) {
        sb_autofree char *other = sb_path_clean(step->caches.v[i]);
        if (!strcmp(other, clean))
            return i;
    }
    return step->caches.n;
}

static void add_cache(struct sb_step *step, const char *path, const char *shared) {
    if (find_cache(step, path) < step->caches.n)
        return;
    sb_strings_add(&step->caches, path);
    sb_strings_add(&step->shares, shared ? shared : "");
}

static void read_cache(struct sb_reader *reader, const struct sb_yaml *node, void *target) {
    struct sb_step *step = target;
    struct cache cache = {0};
    size_t before = reader->problem_total;
    sb_schema_read(reader, cache_keys, "cache", node, &cache);
    if (cache.path && reader->problem_total == before)
        sb_reader_check_place(reader, node, "cache", cache.path);
    size_t found = cache.path ? find_cache(step, cache.path) : step->caches.n;
    if (found < step->caches.n && strcmp(step->shares.v[found], cache.shared ? cache.shared : ""))
        sb_reader_problem(reader, node, "key \"cache\": %s is %s already",
                          sb_text_shown(cache.path).text,
                          *step->shares.v[found] ? "another that is shared" : "the recipe's own");
    if (cache.path && reader->problem_total == before)
        add_cache(step, cache.path, cache.shared);
    sb_schema_free(cache_keys, &cache);
}

static void read_caches(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *target) {
    sb_schema_read_each(reader, key, node, CACHE_LIMIT, read_cache, target);
}

static json_t *caches_schema(const struct sb_key *key) {
    (void)key;
    return sb_schema_one_or_many(json_pack("{s:s}", "$ref", "#/$defs/cache"), CACHE_LIMIT);
}

void sb_reader_undeclared(struct sb_reader *reader, const char *key, const char *name,
                          const struct sb_yaml *node) {
    const char *names[SB_RECIPE_ARG_LIMIT + 1];
    size_t n = 0;
    for (; n < reader->args->n && n < SB_RECIPE_ARG_LIMIT; n++)
        names[n] = reader->args->v[n].name;
    names[n] = NULL;
    const char *nearest = sb_text_nearest(name, names);
    sb_reader_problem(reader, node, "key \"%s\": %.60s is not declared in args%s%s%s", key, name,
                      nearest ? " (did you mean " : "", nearest ? nearest : "",
                      nearest ? "?)" : "");
}

/* Names of arguments: of the file's own args. */
static void read_args(struct sb_reader *reader, const struct sb_key *key,
                      const struct sb_yaml *node, void *target) {
    struct sb_step *step = target;
    static const struct sb_key list = {"args",          SB_KEY_STRINGS,
                                       AT(args),        .one_or_many = true,
                                       .literal = true, .most = SB_RECIPE_ARG_LIMIT};
    sb_schema_read_key(reader, &list, node, step);
    step->args_given = true;
    for (size_t i = 0; i < step->args.n; i++)
        if (!sb_pairs_get(reader->args, step->args.v[i]))
            sb_reader_undeclared(reader, key->name, step->args.v[i],
                                 node->type == SB_YAML_SEQUENCE ? node->items[i] : node);
}

static json_t *args_list_schema(const struct sb_key *key) {
    (void)key;
    return sb_schema_of_key(&(struct sb_key){
        .type = SB_KEY_STRINGS, .one_or_many = true, .literal = true, .most = SB_RECIPE_ARG_LIMIT});
}

/* What may stand beside a step's own key, and beside steps: for all of them. */
static const struct sb_key common_keys[] = {
    {"network", SB_KEY_CUSTOM, 0, .read = read_network, .schema = network_schema,
     .fallback = "none for run; host for apt, pip, conda, download and git",
     .description = "Whether the step reaches the network: none or host."},
    {"secrets", SB_KEY_CUSTOM, 0, .read = sb_secrets_read, .schema = sb_secrets_schema,
     .description = "Secrets to show the step as /run/secrets/NAME, as another file, or as a "
                    "variable; they are in no layer, log or cache record."},
    {"cache", SB_KEY_CUSTOM, 0, .read = read_caches, .schema = caches_schema,
     .description = "Directories that are kept between builds, and in no layer."},
    {"inputs", SB_KEY_CUSTOM, 0, .read = sb_inputs_read_key, .schema = sb_inputs_schema,
     .description = "Files that the step's programs see while they run, read-only and in no layer: "
                    "of the context, a stage, a recipe or an image, as copy takes them."},
    {"env", SB_KEY_PAIRS, AT(env), .rule = &sb_rule_env, .most = 1000, .variables = true,
     .description = "Environment variables of the step's programs, and of nothing else; $NAME in a "
                    "value is one that they have anyway, or one above."},
    {"args", SB_KEY_CUSTOM, 0, .read = read_args, .schema = args_list_schema,
     .fallback = "all for run, none for pip",
     .description = "The arguments that the step's programs see, and that it depends on; [] is "
                    "none."},
    {SB_WHEN, SB_KEY_CUSTOM, 0, .read = sb_when_skip, .schema = sb_when_schema,
     .description = "Left out where an argument, or PLATFORM or PLATFORM_ARCH, has another value; "
                    "of a list any."},
    {0},
};

static const struct sb_key layer_keys[] = {
    {"name", SB_KEY_STRING, offsetof(struct sb_recipe_layer, name), .required = true,
     .literal = true, .rule = &sb_rule_name, .description = "The layer's name, once in a recipe."},
    {0},
};

static void free_common(struct sb_step *step) {
    sb_schema_free(common_keys, step);
    sb_strings_free(&step->secrets);
    sb_strings_free(&step->secret_places);
    sb_strings_free(&step->secret_variables);
    sb_strings_free(&step->caches);
    sb_strings_free(&step->shares);
    sb_strings_free(&step->args);
    sb_strings_free(&step->platform_args);
    sb_inputs_free_list(step);
    free(step->left_out);
}

static bool is_common(const char *name) {
    for (const struct sb_key *key = common_keys; key->name; key++)
        if (!strcmp(key->name, name))
            return true;
    return false;
}

/* An unknown key, with all that could stand there: more for layers, the kinds for both. */
static void report_unknown(struct sb_reader *reader, const struct sb_yaml *key, bool layer) {
    const char *names[32];
    size_t n = 0;
    if (layer) {
        names[n++] = "name";
        names[n++] = "steps";
    }
    for (size_t i = 0; sb_step_kinds[i]; i++)
        names[n++] = sb_step_kinds[i]->name;
    for (const struct sb_key *common = common_keys; common->name; common++)
        names[n++] = common->name;
    names[n] = NULL;
    sb_schema_unknown(reader, key, layer ? "layer" : "step", names);
}

/* ---- one step ---- */

/* Programs are what networks, secrets and cache directories are for. */
static void check_common(struct sb_reader *reader, const struct sb_step *step,
                         const struct sb_yaml *node) {
    for (const struct sb_key *key = common_keys; key->name; key++) {
        const struct sb_yaml *value = sb_yaml_get(node, key->name);
        bool fits = step->kind->runs_programs || !strcmp(key->name, SB_WHEN) ||
                    (step->kind->network && !strcmp(key->name, "network"));
        if (value && !strcmp(key->name, "args") && !step->kind->sees_env)
            sb_reader_problem(
                reader, value,
                "key \"args\": has no meaning for %s, whose programs see no arguments",
                step->kind->name);
        else if (value && !fits)
            sb_reader_problem(reader, value,
                              "key \"%s\": has no meaning for %s, which runs nothing", key->name,
                              step->kind->name);
    }
}

static void read_common(struct sb_reader *reader, const struct sb_yaml *node,
                        struct sb_step *step) {
    for (const struct sb_key *key = common_keys; key->name; key++) {
        const struct sb_yaml *value = sb_yaml_get(node, key->name);
        if (value)
            sb_schema_read_key(reader, key, value, step);
    }
}

static void append_pair(struct sb_pairs *to, struct sb_pair pair) {
    SB_GROW(to->v, to->n, to->cap);
    to->v[to->n++] = pair;
}

/* The layer's come first: the step's own win, and may name them. */
static void add_default_env(struct sb_step *step, const struct sb_pairs *defaults) {
    struct sb_pairs own = step->env;
    step->env = (struct sb_pairs){0};
    for (size_t i = 0; i < defaults->n; i++) {
        const struct sb_pair *pair = &defaults->v[i];
        append_pair(&step->env, (struct sb_pair){.name = sb_strdup(pair->name),
                                                 .value = sb_strdup(pair->value),
                                                 .line = pair->line,
                                                 .column = pair->column});
        for (size_t k = 0; k < pair->made_of.n; k++)
            if (!sb_strings_has(&step->args_used, pair->made_of.v[k]))
                sb_strings_add(&step->args_used, pair->made_of.v[k]);
    }
    for (size_t i = 0; i < own.n; i++)
        append_pair(&step->env, own.v[i]);
    free(own.v);
    sb_map_free(&own.places);
}

/* A layer's network:, secrets: and cache: are meant for those of its steps that can use them. */
static void add_defaults(struct sb_step *step, const struct sb_step *defaults) {
    if (!step->network_given && defaults->network_given &&
        (step->kind->runs_programs || step->kind->network)) {
        step->network_given = true;
        step->network = defaults->network;
    }
    if (!step->args_given && defaults->args_given && step->kind->sees_env) {
        step->args_given = true;
        sb_strings_copy(&step->args, &defaults->args);
    }
    if (step->kind->runs_programs) {
        sb_secrets_add_defaults(step, defaults);
        for (size_t i = 0; i < defaults->caches.n; i++)
            add_cache(step, defaults->caches.v[i], defaults->shares.v[i]);
        add_default_env(step, &defaults->env);
    }
}

/* Reads the value of a kind's key; node is the mapping around it. */
static void read_step(struct sb_reader *reader, const struct sb_step_kind *kind,
                      const struct sb_yaml *node, const struct sb_recipe_build *build,
                      struct sb_step *step) {
    const struct sb_yaml *value = sb_yaml_get(node, kind->name);
    size_t before = reader->problem_total;
    step->kind = kind;
    step->build = build;
    step->place = (struct sb_place){reader->file, node->line, node->column};
    reader->args_used = &step->args_used;
    step->own = sb_alloc(kind->size);
    reader->beside = common_keys;
    reader->inside = kind->name;
    sb_schema_read(reader, kind->keys, kind->name, value, step->own);
    reader->beside = NULL;
    check_common(reader, step, node);
    read_common(reader, node, step);
    if (kind->check && (kind->checks_always || reader->problem_total == before))
        kind->check(step, reader, value);
    step->network = step->network_given ? step->network : kind->network;
    reader->args_used = NULL;
}

/* Once it is known whether the layer says args:. */
static void settle_args(const struct sb_reader *reader, struct sb_step *step) {
    if (!step->args_given && step->kind->sees_args)
        for (size_t i = 0; i < reader->args->n; i++) {
            const char *name = reader->args->v[i].name;
            if (!sb_argument_is_platform(name) || sb_strings_has(&step->platform_args, name))
                sb_strings_add(&step->args, name);
        }
    for (size_t i = 0; i < step->args.n; i++)
        if (!sb_strings_has(&step->args_used, step->args.v[i]))
            sb_strings_add(&step->args_used, step->args.v[i]);
}

static void report_none(struct sb_reader *reader, const struct sb_yaml *node, bool layer) {
    sb_autobuf struct sb_buf names = {0};
    for (size_t i = 0; sb_step_kinds[i]; i++)
        sb_buf_addf(&names, "%s%s", i ? ", " : "", sb_step_kinds[i]->name);
    sb_reader_problem(reader, node, "a %s without a step (expected %sone of %s)",
                      layer ? "layer" : "step", layer ? "steps or " : "", sb_buf_text(&names));
}

/* The one kind that a mapping names; NULL and a problem when there is none or more than one. */
static const struct sb_step_kind *find_kind(struct sb_reader *reader, const struct sb_yaml *node,
                                            bool layer) {
    const struct sb_step_kind *found = NULL;
    bool steps = false, unknown = false;
    for (size_t i = 0; i < node->count; i++) {
        const struct sb_yaml *key = node->items[2 * i];
        const struct sb_step_kind *kind = sb_step_kind_find(key->text);
        if (layer && !strcmp(key->text, "steps")) {
            steps = true;
        } else if (kind && (found || steps)) {
            sb_reader_problem(reader, key,
                              "key \"%s\": a second step (expected one; put several "
                              "into steps: [{%s: …}, {%s: …}])",
                              kind->name, found ? found->name : "run", kind->name);
            unknown = true;
        } else if (kind) {
            found = kind;
        } else if (!is_common(key->text) && !(layer && !strcmp(key->text, "name"))) {
            report_unknown(reader, key, layer);
            unknown = true;
        }
    }
    if (steps && found)
        sb_reader_problem(reader, node,
                          "key \"steps\": stands beside \"%s\" (expected one of them)",
                          found->name);
    else if (!found && !steps && !unknown)
        report_none(reader, node, layer);
    return steps ? NULL : found;
}

static char *read_when(struct sb_reader *reader, const struct sb_yaml *node) {
    const struct sb_yaml *when = sb_yaml_get(node, SB_WHEN);
    return when ? sb_when_read(reader, when) : NULL;
}

bool sb_step_read(struct sb_reader *reader, const struct sb_yaml *node,
                  const struct sb_recipe_build *build, struct sb_step *out) {
    const struct sb_step_kind *kind = find_kind(reader, node, false);
    if (!kind)
        return false;
    read_step(reader, kind, node, build, out);
    out->left_out = read_when(reader, node);
    sb_step_check_places(reader, node, out);
    settle_args(reader, out);
    return true;
}

void sb_step_free(struct sb_step *step) {
    if (step->own && step->kind->free)
        step->kind->free(step->own);
    if (step->own)
        sb_schema_free(step->kind->keys, step->own);
    free(step->own);
    free_common(step);
    sb_strings_free(&step->args_used);
}

/* ---- layers ---- */

/* defaults: what the layer says of all of them. */
static void read_steps(struct sb_reader *reader, const struct sb_yaml *list,
                       const struct sb_step *defaults, struct sb_recipe_layer *layer) {
    if (list->type != SB_YAML_SEQUENCE || list->count == 0) {
        sb_reader_problem(reader, list, "key \"steps\": expected a list of steps, found %s",
                          list->type == SB_YAML_SEQUENCE ? "none" : sb_yaml_type_name(list));
        return;
    }
    if (list->count > STEP_LIMIT) {
        sb_reader_problem(reader, list, "key \"steps\": expected at most %d, found %zu", STEP_LIMIT,
                          list->count);
        return;
    }
    layer->steps = sb_alloc(list->count * sizeof *layer->steps);
    for (size_t i = 0; i < list->count; i++) {
        const struct sb_yaml *node = list->items[i];
        if (node->type != SB_YAML_MAPPING) {
            sb_reader_problem(reader, node,
                              "key \"steps\": expected a step such as {run: …}, found %s",
                              sb_yaml_type_name(node));
            continue;
        }
        const struct sb_step_kind *kind = find_kind(reader, node, false);
        struct sb_step *step = &layer->steps[layer->step_count];
        if (!kind)
            continue;
        layer->step_count++;
        read_step(reader, kind, node, defaults->build, step);
        step->left_out = read_when(reader, node);
        add_defaults(step, defaults);
        sb_step_check_places(reader, node, step);
        settle_args(reader, step);
    }
}

static void read_layer(struct sb_reader *reader, const struct sb_yaml *node,
                       const struct sb_recipe_build *build, struct sb_recipe_layer *layer) {
    layer->place = (struct sb_place){reader->file, node->line, node->column};
    if (node->type != SB_YAML_MAPPING) {
        sb_reader_problem(reader, node,
                          "key \"layers\": expected a layer such as {name: …, run: …}, "
                          "found %s",
                          sb_yaml_type_name(node));
        return;
    }
    const struct sb_yaml *name = sb_yaml_get(node, "name");
    if (name)
        sb_schema_read_key(reader, &layer_keys[0], name, layer);
    else
        sb_reader_problem(reader, node, "key \"name\": missing in layer");
    layer->left_out = read_when(reader, node);
    const struct sb_step_kind *kind = find_kind(reader, node, true);
    const struct sb_yaml *steps = sb_yaml_get(node, "steps");
    if (kind) {
        layer->steps = sb_alloc(sizeof *layer->steps);
        layer->step_count = 1;
        read_step(reader, kind, node, build, layer->steps);
        sb_step_check_places(reader, node, layer->steps);
        settle_args(reader, layer->steps);
    } else if (steps) {
        struct sb_step defaults = {.build = build};
        read_common(reader, node, &defaults);
        if (defaults.input_count)
            sb_reader_problem(reader, sb_yaml_get(node, "inputs"),
                              "key \"inputs\": stands beside steps (expected in the step whose "
                              "programs see them)");
        read_steps(reader, steps, &defaults, layer);
        free_common(&defaults);
    }
}

static void check_names(struct sb_reader *reader, const struct sb_recipe *recipe,
                        const struct sb_yaml *list) {
    for (size_t i = 1; i < recipe->layer_count; i++) {
        const char *name = recipe->layers[i].name;
        for (size_t j = 0; name && j < i; j++) {
            if (!recipe->layers[j].name || strcmp(recipe->layers[j].name, name))
                continue;
            sb_reader_problem(reader, sb_yaml_get(list->items[i], "name"),
                              "key \"name\": a second layer \"%s\" (the first is in line %d)", name,
                              recipe->layers[j].place.line);
            break;
        }
    }
}

void sb_layers_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                    void *target) {
    struct sb_recipe *recipe = target;
    (void)key;
    if (node->type != SB_YAML_SEQUENCE) {
        sb_reader_problem(reader, node, "key \"layers\": expected a list of layers, found %s",
                          sb_yaml_type_name(node));
        return;
    }
    if (node->count > SB_LAYER_LIMIT) {
        sb_reader_problem(reader, node,
                          "key \"layers\": expected at most %d layers, found %zu (an "
                          "image can't have more; put several steps into one layer)",
                          SB_LAYER_LIMIT, node->count);
        return;
    }
    recipe->layers = sb_alloc(node->count * sizeof *recipe->layers);
    recipe->layer_count = node->count;
    for (size_t i = 0; i < node->count; i++)
        read_layer(reader, node->items[i], &recipe->build, &recipe->layers[i]);
    check_names(reader, recipe, node);
    sb_layers_leave_out(recipe);
}

/* ---- the schema ---- */

/* The kinds by reference, and what may stand beside them. required is "steps" or NULL. */
static json_t *step_schema(const struct sb_key *more, json_t *steps) {
    json_t *schema = sb_schema_of_keys(common_keys);
    json_t *properties = json_object_get(schema, "properties"), *one = json_array();
    if (more) {
        sb_autojson json_t *table = sb_schema_of_keys(more);
        json_object_update(properties, json_object_get(table, "properties"));
        json_object_set(schema, "required", json_object_get(table, "required"));
    }
    if (steps) {
        json_object_set_new(properties, "steps", steps);
        json_array_append_new(one, json_pack("{s:[s]}", "required", "steps"));
    }
    for (size_t i = 0; sb_step_kinds[i]; i++) {
        const char *name = sb_step_kinds[i]->name;
        json_object_set_new(properties, name, json_pack("{s:s+}", "$ref", "#/$defs/", name));
        json_array_append_new(one, json_pack("{s:[s]}", "required", name));
    }
    json_object_set_new(schema, "oneOf", one);
    return schema;
}

json_t *sb_layers_schema(const struct sb_key *key) {
    (void)key;
    json_t *steps =
        json_pack("{s:s, s:i, s:i, s:s, s:{s:s}}", "type", "array", "minItems", 1, "maxItems",
                  STEP_LIMIT, "description", "Several steps that make one layer, in order.",
                  "items", "$ref", "#/$defs/step");
    return json_pack("{s:s, s:i, s:o}", "type", "array", "maxItems", SB_LAYER_LIMIT, "items",
                     step_schema(layer_keys, steps));
}

void sb_layers_define(json_t *definitions) {
    json_object_set_new(definitions, "step", step_schema(NULL, NULL));
    json_object_set_new(definitions, "cache", sb_schema_of_keys(cache_keys));
    json_object_set_new(definitions, "secret", sb_secret_schema());
    for (size_t i = 0; sb_step_kinds[i]; i++) {
        json_t *kind = sb_schema_of_keys(sb_step_kinds[i]->keys);
        json_object_set_new(kind, "description", json_string(sb_step_kinds[i]->description));
        json_object_set_new(definitions, sb_step_kinds[i]->name, kind);
    }
}

static void free_layer(struct sb_recipe_layer *layer) {
    for (size_t j = 0; j < layer->step_count; j++)
        sb_step_free(&layer->steps[j]);
    free(layer->steps);
    free(layer->name);
    free(layer->left_out);
}

void sb_layers_free(struct sb_recipe *recipe) {
    for (size_t i = 0; i < recipe->layer_count; i++)
        free_layer(&recipe->layers[i]);
    for (size_t i = 0; i < recipe->left_out_count; i++) {
        free_layer(&recipe->left_out[i].layer);
        free(recipe->left_out[i].why);
    }
    free(recipe->left_out);
    free(recipe->layers);
}
