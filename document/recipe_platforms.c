/* platforms: what an image is built for; and a stage's own platform. */
#include <string.h>

#include "base/memory.h"
#include "document/arguments.h"
#include "document/recipe_files.h"
#include "document/recipe_private.h"
#include "layers/platform.h"

void sb_platforms_check(struct sb_reader *reader, const struct sb_yaml *node,
                        const struct sb_recipe *recipe) {
    const struct sb_strings *list = &recipe->platforms;
    for (size_t i = 1; i < list->n && list->n == node->count; i++)
        for (size_t k = 0; k < i; k++) {
            sb_autoplatform struct sb_platform a = {0}, b = {0};
            if (sb_platform_parse(list->v[i], &a, NULL) == 0 &&
                sb_platform_parse(list->v[k], &b, NULL) == 0 && sb_platform_compare(&a, &b) == 0)
                sb_reader_problem(reader, node->items[i],
                                  "key \"platforms\": %s stands there twice", list->v[i]);
        }
}

/* ---- whether a stage is the same for all platforms ---- */

static bool names_platform(const struct sb_yaml *node) {
    if (node->type == SB_YAML_SCALAR)
        return strstr(node->text, SB_ARGUMENT_PLATFORM) != NULL;
    size_t n = node->type == SB_YAML_MAPPING ? 2 * node->count : node->count;
    for (size_t i = 0; i < n; i++)
        if (names_platform(node->items[i]))
            return true;
    return false;
}

/* What stages have of the file. */
static bool file_names_platform(const struct sb_yaml *root) {
    const char *const keys[] = {"args", "build"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct sb_yaml *node = sb_yaml_get(root, keys[i]);
        if (node && names_platform(node))
            return true;
    }
    return false;
}

/* Of the context, and of other stages that are so. */
static bool only_copies(const struct sb_recipe *stage) {
    if (stage->from.kind != SB_FROM_SCRATCH && !(stage->base && stage->base->copies))
        return false;
    for (size_t l = 0; l < stage->layer_count; l++)
        for (size_t s = 0; s < stage->layers[l].step_count; s++) {
            const struct sb_step *step = &stage->layers[l].steps[s];
            const struct sb_origin *origin = sb_step_origin(step, 0);
            if (!sb_step_placing(step) || !origin || origin->image || origin->recipe ||
                (origin->stage && !stage->needs[origin->need]->copies))
                return false;
        }
    return true;
}

void sb_platforms_find_uses(const struct sb_yaml *root, struct sb_recipe *file) {
    const struct sb_yaml *stages = sb_yaml_get(root, "stages");
    bool all = file->stage_count > 0 && file_names_platform(root);
    for (size_t i = 0; i < file->stage_count; i++) { /* each after those that it needs */
        struct sb_recipe *stage = file->stages[i];
        stage->differs = all || names_platform(stages->items[i]);
        for (size_t k = 0; k < stage->need_count; k++)
            stage->differs = stage->differs || stage->needs[k]->differs;
        stage->copies = !stage->differs && !stage->platform && only_copies(stage);
    }
}

/* ---- before it is loaded ---- */

int sb_recipe_platforms(const char *path, const struct sb_recipe_options *options,
                        struct sb_strings *out, struct sb_error *err) {
    struct sb_recipe_file *file;
    if (sb_recipe_load_file(path, options, &file, err) < 0)
        return -1;
    const struct sb_yaml *root = sb_recipe_file_root(file, err);
    if (!root)
        return -1;
    const struct sb_yaml *list = sb_yaml_get(root, "platforms");
    for (size_t i = 0;
         list && list->type == SB_YAML_SEQUENCE && i < list->count && i < SB_RECIPE_PLATFORM_LIMIT;
         i++) {
        const struct sb_yaml *one = list->items[i];
        if (one->type == SB_YAML_SCALAR && sb_rule_platform.check(one->text))
            sb_strings_add(out, one->text);
    }
    return 0;
}
