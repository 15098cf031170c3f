/* One recipe file: its document, read and checked. */
#include "document/recipe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/yaml.h"
#include "document/arguments.h"
#include "document/environment.h"
#include "document/project.h"
#include "document/recipe_private.h"

static const char *set_value(const struct sb_recipe_setting *setting, const char *name) {
    const struct sb_pairs *set = setting->set;
    const char *value = NULL;
    for (size_t i = 0; set && i < set->n; i++) {
        if (!strcmp(set->v[i].name, name)) {
            setting->used[i] = true;
            value = set->v[i].value;
        }
    }
    return value;
}

/* args: come first, as everything else may use them; each may use those above it. */
static void read_args(const struct sb_recipe_setting *setting, struct sb_reader *reader,
                      const struct sb_yaml *node, struct sb_recipe *recipe) {
    if (node->type != SB_YAML_MAPPING || node->count > SB_RECIPE_ARG_LIMIT) {
        sb_reader_problem(reader, node,
                          "key \"args\": expected a mapping of at most %d names to values, "
                          "found %s",
                          SB_RECIPE_ARG_LIMIT,
                          node->type == SB_YAML_MAPPING ? "more" : sb_yaml_type_name(node));
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct sb_yaml *name = node->items[2 * i];
        struct sb_key key = {.name = name->text};
        if (!sb_schema_check(reader, "args", &sb_rule_env, name->text, name))
            continue;
        if (sb_argument_is_platform(name->text)) {
            sb_reader_problem(reader, name,
                              "key \"%s\": every recipe has it: what is built for (expected "
                              "another name)",
                              name->text);
            continue;
        }
        sb_autofree char *fallback = sb_schema_text(reader, &key, node->items[2 * i + 1]);
        const char *set = set_value(setting, name->text);
        if (fallback)
            sb_pairs_set(&recipe->args, name->text, set ? set : fallback);
    }
}

/* For a line of a list of mistakes: it holds paths that the recipe names. */
void sb_recipe_make_plain(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            *text = '?';
}

void sb_reader_outside(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                       const struct sb_error *why) {
    sb_autofree char *text = sb_format("%s (%s)", why->message, why->hint);
    sb_recipe_make_plain(text);
    sb_reader_problem(reader, node, "key \"%s\": %s", key, text);
}

static bool is_directory(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void check_context(struct sb_reader *reader, const struct sb_yaml *root,
                          struct sb_recipe *recipe) {
    const struct sb_yaml *node = sb_yaml_get(root, "context");
    sb_autofree char *said = sb_steal(recipe->context);
    if (!said) {
        recipe->context = sb_path_dirname(recipe->path);
        return;
    }
    recipe->context = sb_path_beside(recipe->path, said);
    struct sb_error why = {0};
    sb_autofree char *real = sb_project_resolve(recipe->project, recipe->context, &why);
    if (!real && why.code == SB_E_RECIPE)
        sb_reader_outside(reader, node, "context", &why);
    else if (!real || !is_directory(real))
        sb_reader_problem(reader, node,
                          "key \"context\": there is no directory %s (it is relative "
                          "to the recipe's)",
                          sb_text_shown(recipe->context).text);
}

/* Ports without a protocol are of TCP. */
static void finish_image(struct sb_recipe_image *image) {
    for (size_t i = 0; i < image->ports.n; i++) {
        if (!strchr(image->ports.v[i], '/')) {
            char *port = sb_format("%s/tcp", image->ports.v[i]);
            free(image->ports.v[i]);
            image->ports.v[i] = port;
        }
    }
}

int sb_recipe_read(const struct sb_recipe_setting *setting, const struct sb_yaml *root,
                   struct sb_recipe *recipe, struct sb_error *err) {
    struct sb_reader reader = {.file = recipe->path, .args = &recipe->args};
    const struct sb_yaml *args = sb_yaml_get(root, "args");
    const struct sb_yaml *build = sb_yaml_get(root, "build");
    const struct sb_yaml *service = sb_yaml_get(root, "service");
    const struct sb_yaml *tests = sb_yaml_get(root, "test");
    const struct sb_yaml *platforms = sb_yaml_get(root, "platforms");
    if (root->type != SB_YAML_MAPPING) {
        sb_reader_problem(&reader, root, "expected keys such as name: and from:, found %s",
                          sb_yaml_type_name(root));
        return sb_reader_finish(&reader, err);
    }
    sb_arguments_add_platform(&recipe->args, setting->platform);
    if (args)
        read_args(setting, &reader, args, recipe);
    if (build)
        sb_schema_read(&reader, sb_build_keys, "build", build, recipe);
    sb_schema_read(&reader, sb_recipe_keys, "recipe", root, recipe);
    sb_environment_inherit_all(&recipe->build.env, &recipe->image.env);
    check_context(&reader, root, recipe);
    sb_stages_check(&reader, recipe);
    sb_platforms_find_uses(root, recipe);
    if (platforms)
        sb_platforms_check(&reader, platforms, recipe);
    finish_image(&recipe->image);
    sb_image_check(&reader, sb_yaml_get(root, "image"), recipe);
    if (tests)
        sb_tests_check(&reader, tests, recipe);
    if (service)
        sb_service_check(&reader, service, recipe);
    return sb_reader_finish(&reader, err);
}
