/* Any bytes as a recipe: YAML, keys, values, suggestions, messages. The file is written to a
 * directory of its own, so that from: and context: find nothing else. */
#include "document/recipe.h"
#include "tests/fuzz/fuzz.h"

static void check_steps(const struct sb_recipe *recipe) {
    for (size_t i = 0; i < recipe->layer_count; i++) {
        for (size_t j = 0; j < recipe->layers[i].step_count; j++) {
            const struct sb_step *step = &recipe->layers[i].steps[j];
            json_t *said = json_object();
            step->kind->describe(step, said);
            json_decref(said);
            free(step->kind->summary(step));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sb_autofree char *path = fuzz_directory_file("r.yaml", data, size);
    struct sb_pair pair = {.name = (char[]){"PORT"}, .value = (char[]){"9000"}};
    struct sb_pairs set = {.v = &pair, .n = 1, .cap = 1};
    struct sb_recipe_options options = {.set = size % 2 ? &set : NULL};
    struct sb_recipe *recipe = NULL;
    struct sb_error err = {0};
    if (sb_recipe_load(path, &options, &recipe, &err) == 0)
        check_steps(recipe);
    else if (!err.message[0] || err.code == SB_E_NONE)
        abort();
    sb_recipe_free(recipe);
    return 0;
}
