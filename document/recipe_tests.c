/* test: what has to work in the finished image. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "document/recipe_private.h"

static void read_test(struct sb_reader *reader, const struct sb_yaml *node,
                      const struct sb_recipe_build *build, struct sb_recipe_test *out) {
    out->place = (struct sb_place){reader->file, node->line, node->column};
    if (node->type == SB_YAML_SCALAR && !strcmp(node->text, "service")) {
        out->service = true;
    } else if (node->type != SB_YAML_MAPPING) {
        sb_reader_problem(reader, node, "key \"test\": expected {run: …} or service, found %s",
                          node->type == SB_YAML_SCALAR ? sb_text_shown(node->text).text
                                                       : sb_yaml_type_name(node));
    } else if (sb_step_read(reader, node, build, &out->step)) {
        const struct sb_yaml *inputs = sb_yaml_get(node, "inputs");
        if (!out->step.kind->is_script)
            sb_reader_problem(reader, node,
                              "key \"%s\": has no meaning in test (expected run or service)",
                              out->step.kind->name);
        else if (inputs)
            sb_reader_problem(reader, inputs,
                              "key \"inputs\": has no meaning in test, which sees the finished "
                              "image alone");
    }
}

void sb_tests_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                   void *target) {
    struct sb_recipe *recipe = target;
    (void)key;
    if (node->type != SB_YAML_SEQUENCE || node->count > SB_RECIPE_TEST_LIMIT) {
        sb_reader_problem(reader, node,
                          "key \"test\": expected a list of at most %d tests, found %s",
                          SB_RECIPE_TEST_LIMIT,
                          node->type == SB_YAML_SEQUENCE ? "more" : sb_yaml_type_name(node));
        return;
    }
    recipe->tests = sb_alloc((node->count + 1) * sizeof *recipe->tests);
    recipe->test_count = node->count;
    for (size_t i = 0; i < node->count; i++)
        read_test(reader, node->items[i], &recipe->build, &recipe->tests[i]);
}

json_t *sb_tests_schema(const struct sb_key *key) {
    (void)key;
    return json_pack("{s:s, s:i, s:{s:[{s:s}, {s:[{s:s}, {s:[s]}]}]}}", "type", "array", "maxItems",
                     SB_RECIPE_TEST_LIMIT, "items", "anyOf", "const", "service", "allOf", "$ref",
                     "#/$defs/step", "required", "run");
}

void sb_tests_check(struct sb_reader *reader, const struct sb_yaml *list,
                    const struct sb_recipe *recipe) {
    for (size_t i = 0; i < recipe->test_count && list->type == SB_YAML_SEQUENCE; i++)
        if (recipe->tests[i].service && !recipe->service.present)
            sb_reader_problem(reader, list->items[i],
                              "key \"test\": service: the recipe has no service: to start");
}

void sb_tests_free(struct sb_recipe *recipe) {
    for (size_t i = 0; i < recipe->test_count; i++)
        sb_step_free(&recipe->tests[i].step);
    free(recipe->tests);
}
