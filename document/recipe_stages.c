/* stages: images of a file's own, which are copied from and stood on. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/environment.h"
#include "document/recipe_private.h"

#define AT(member)    offsetof(struct sb_recipe, member)
#define IMAGE(member) offsetof(struct sb_recipe, image.member)

/* What steps see of it, and what stands on it. */
static const struct sb_key image_keys[] = {
    {"workdir", SB_KEY_STRING, IMAGE(workdir), .rule = &sb_rule_absolute, .fallback = "the base's",
     .description = "The directory that run's programs start in."},
    {"env", SB_KEY_PAIRS, IMAGE(env), .rule = &sb_rule_env, .most = 1000, .variables = true,
     .description = "Environment variables, added to the base's."},
    {"path", SB_KEY_STRINGS, IMAGE(path), .rule = &sb_rule_search, .most = 100,
     .description = "Directories with programs, before those of the base's PATH."},
    {0},
};

static const struct sb_key keys[] = {
    {"name", SB_KEY_STRING, AT(name), .required = true, .literal = true, .rule = &sb_rule_name,
     .description = "The stage's name, once in a recipe."},
    {"from", SB_KEY_CUSTOM, 0, .required = true, .read = sb_from_read, .schema = sb_from_schema,
     .description = "What it is built on, as of a recipe; a stage above it, too."},
    {"platform", SB_KEY_STRING, AT(platform), .rule = &sb_rule_stage_platform,
     .fallback = "that of what needs it",
     .description = "Where its steps run, whatever they make files for: build is this machine."},
    {"layers", SB_KEY_CUSTOM, 0, .read = sb_layers_read, .schema = sb_layers_schema,
     .description = "Its layers, lowest first."},
    {"image", SB_KEY_MAPPING, 0, .keys = image_keys,
     .description = "What its steps, and stages on top of it, find."},
    {0},
};

void sb_stage_free(struct sb_recipe *stage) {
    sb_schema_free(keys, stage);
    free(stage->context);
}

static void read_stage(struct sb_reader *reader, const struct sb_yaml *node,
                       struct sb_recipe *file) {
    struct sb_recipe *stage = sb_recipe_new(file->family, SB_RECIPE_STAGE);
    file->stages[file->stage_count++] = stage;
    stage->path = sb_strdup(file->path);
    stage->from.place = (struct sb_place){file->path, node->line, node->column};
    sb_pairs_copy(&stage->args, &file->args);
    sb_strings_copy(&stage->build.shell, &file->build.shell);
    sb_pairs_copy(&stage->build.env, &file->build.env);
    if (node->type == SB_YAML_MAPPING)
        sb_schema_read(reader, keys, "stages", node, stage);
    else
        sb_reader_problem(reader, node,
                          "key \"stages\": expected a stage such as {name: …, from: …, layers: …}, "
                          "found %s",
                          sb_yaml_type_name(node));
}

void sb_stages_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                    void *target) {
    struct sb_recipe *file = target;
    if (node->type != SB_YAML_SEQUENCE || node->count > SB_RECIPE_STAGE_LIMIT) {
        sb_reader_problem(reader, node,
                          "key \"%s\": expected a list of at most %d stages, found %s", key->name,
                          SB_RECIPE_STAGE_LIMIT,
                          node->type == SB_YAML_SEQUENCE ? "more" : sb_yaml_type_name(node));
        return;
    }
    file->stages = sb_alloc((node->count + 1) * sizeof *file->stages);
    for (size_t i = 0; i < node->count; i++)
        read_stage(reader, node->items[i], file);
    for (size_t i = 1; i < file->stage_count; i++)
        for (size_t k = 0; k < i; k++)
            if (file->stages[i]->name && file->stages[k]->name &&
                !strcmp(file->stages[i]->name, file->stages[k]->name)) {
                sb_reader_problem(reader, sb_yaml_get(node->items[i], "name"),
                                  "key \"name\": a second stage \"%s\" (the first is in line %d)",
                                  file->stages[i]->name, node->items[k]->line);
                break;
            }
}

json_t *sb_stages_schema(const struct sb_key *key) {
    (void)key;
    return json_pack("{s:s, s:i, s:o}", "type", "array", "maxItems", SB_RECIPE_STAGE_LIMIT, "items",
                     sb_schema_of_keys(keys));
}

/* ---- naming one another ---- */

static void report_missing(struct sb_reader *reader, const struct sb_recipe *file, size_t above,
                           const char *name, const struct sb_place *place) {
    const struct sb_yaml at = {.line = place->line, .column = place->column};
    const char *names[SB_RECIPE_STAGE_LIMIT + 1];
    size_t n = 0;
    for (size_t i = 0; i < file->stage_count; i++) {
        const char *other = file->stages[i]->name;
        if (other && i < above)
            names[n++] = other;
        else if (other && !strcmp(other, name)) {
            sb_reader_problem(reader, &at,
                              "key \"stage\": %s %s (expected a stage above it: order them so that "
                              "each comes after those that it needs)",
                              name, i == above ? "is this stage itself" : "comes further below");
            return;
        }
    }
    names[n] = NULL;
    const char *nearest = sb_text_nearest(name, names);
    sb_reader_problem(reader, &at, "key \"stage\": there is no stage \"%s\"%s%s%s", name,
                      nearest ? " (did you mean \"" : " (stages: lists a recipe's",
                      nearest ? nearest : "", nearest ? "\"?)" : ")");
}

/* The index of a stage among the first ones of the file; SIZE_MAX, and a problem, when it is none.
 */
static size_t find(struct sb_reader *reader, const struct sb_recipe *file, size_t above,
                   const char *name, const struct sb_place *place) {
    for (size_t i = 0; i < above; i++)
        if (file->stages[i]->name && !strcmp(file->stages[i]->name, name))
            return i;
    report_missing(reader, file, above, name, place);
    return SIZE_MAX;
}

static void check_origin(struct sb_reader *reader, const struct sb_recipe *file, size_t above,
                         struct sb_recipe *recipe, struct sb_origin *origin) {
    if (origin->stage) {
        size_t at = find(reader, file, above, origin->stage, &origin->place);
        if (at != SIZE_MAX)
            origin->need = sb_recipe_add_need(recipe, file->stages[at]);
    } else if (origin->image) {
        const struct sb_yaml place = {.line = origin->place.line, .column = origin->place.column};
        char *image = sb_from_image(reader, file, "image", origin->image, &place);
        free(origin->image);
        origin->image = image;
    }
}

static void check_one(struct sb_reader *reader, const struct sb_recipe *file, size_t above,
                      struct sb_recipe *recipe) {
    if (recipe->from.kind == SB_FROM_STAGE && recipe->from.stage) {
        size_t at = find(reader, file, above, recipe->from.stage, &recipe->from.place);
        if (at != SIZE_MAX)
            sb_recipe_add_need(recipe, recipe->base = file->stages[at]);
    }
    for (size_t l = 0; l < recipe->layer_count; l++)
        for (size_t s = 0; s < recipe->layers[l].step_count; s++) {
            struct sb_origin *origin;
            for (size_t n = 0; (origin = sb_step_origin(&recipe->layers[l].steps[s], n)); n++)
                check_origin(reader, file, above, recipe, origin);
        }
}

void sb_stages_check(struct sb_reader *reader, struct sb_recipe *file) {
    file->title = sb_strdup(file->name ? file->name : "");
    for (size_t i = 0; i < file->stage_count; i++) {
        struct sb_recipe *stage = file->stages[i];
        stage->context = sb_strdup(file->context);
        sb_environment_inherit_all(&stage->build.env, &stage->image.env);
        stage->compression = file->compression;
        stage->title = sb_format("%s/%s", file->title, stage->name ? stage->name : "");
        check_one(reader, file, i, stage);
    }
    check_one(reader, file, file->stage_count, file);
}
