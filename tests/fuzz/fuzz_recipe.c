/* Any bytes as a recipe: YAML, keys, values, suggestions, messages. The file is written to a
 * directory of its own, so that from: and context: find nothing else. */
#include "document/recipe.h"
#include "document/recipe_files.h"
#include "tests/fuzz/fuzz.h"

static void check_layer(const struct sb_recipe_layer *layer) {
    FUZZ_CHECK(layer->name && layer->step_count > 0);
    for (size_t j = 0; j < layer->step_count; j++) {
        const struct sb_step *step = &layer->steps[j];
        json_t *said = json_object();
        step->kind->describe(step, said);
        json_decref(said);
        free(step->kind->summary(step));
    }
}

static void check_steps(const struct sb_recipe *recipe) {
    for (size_t i = 0; i < recipe->layer_count; i++)
        check_layer(&recipe->layers[i]);
    for (size_t i = 0; i < recipe->left_out_count; i++) {
        check_layer(&recipe->left_out[i].layer);
        FUZZ_CHECK(*recipe->left_out[i].why && recipe->left_out[i].before <= recipe->layer_count);
    }
}

/* For each platform that it names, from the same file: it may be a mistake for one of them alone.
 */
static void load_for_platforms(const char *path, struct sb_recipe_options *options,
                               const struct sb_recipe *recipe) {
    sb_autostrings struct sb_strings names = {0};
    struct sb_error err = {0};
    FUZZ_CHECK(sb_recipe_platforms(path, options, &names, &err) == 0);
    for (size_t i = 0; i < names.n && i < 3; i++) {
        sb_autoplatform struct sb_platform platform = {0};
        struct sb_recipe *other = NULL;
        FUZZ_CHECK(sb_platform_parse(names.v[i], &platform, &err) == 0);
        options->platform = &platform;
        if (sb_recipe_load(path, options, &other, &err) == 0) {
            check_steps(other);
            FUZZ_CHECK(sb_recipe_counterpart(recipe, other) == other);
        }
        sb_recipe_free(other);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sb_autofree char *path = fuzz_directory_file("r.yaml", data, size);
    struct sb_pair pair = {.name = (char[]){"PORT"}, .value = (char[]){"9000"}};
    struct sb_pairs set = {.v = &pair, .n = 1, .cap = 1};
    struct sb_recipe_files *files = sb_recipe_files_new();
    struct sb_recipe_options options = {.files = files, .set = size % 2 ? &set : NULL};
    struct sb_recipe *recipe = NULL;
    struct sb_error err = {0};
    if (sb_recipe_load(path, &options, &recipe, &err) == 0) {
        check_steps(recipe);
        load_for_platforms(path, &options, recipe);
    } else if (!err.message[0] || err.code == SB_E_NONE) {
        abort();
    }
    sb_recipe_free(recipe);
    sb_recipe_files_free(files);
    return 0;
}
