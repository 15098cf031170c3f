/* inputs: of a step: files that its programs see while they run. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "document/recipe_private.h"

enum { INPUT_LIMIT = 32 }; /* of one step */

static const struct sb_step_kind *copy_kind(void) {
    return sb_step_kind_find("copy");
}

static void read_input(struct sb_reader *reader, const struct sb_yaml *node, void *target) {
    struct sb_step *step = target;
    const struct sb_step_kind *kind = copy_kind();
    step->inputs = sb_realloc(step->inputs, step->input_count + 1, sizeof *step->inputs);
    struct sb_step *input = &step->inputs[step->input_count++];
    *input = (struct sb_step){.kind = kind,
                              .place = {reader->file, node->line, node->column},
                              .own = sb_alloc(kind->size)};
    if (node->type != SB_YAML_MAPPING) {
        sb_reader_problem(
            reader, node,
            "key \"inputs\": expected a mapping such as {from: src, to: /src}, found %s",
            sb_yaml_type_name(node));
        return;
    }
    sb_schema_read(reader, kind->keys, "inputs", node, input->own);
    kind->check(input, reader, node);
    const struct sb_yaml *to = sb_yaml_get(node, "to");
    const struct sb_placing *placing = sb_step_placing(input);
    if (to && placing->to && strcmp(placing->to, "/") != 0)
        sb_reader_check_place(reader, to, "to", placing->to);
}

void sb_inputs_read_key(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *target) {
    sb_schema_read_each(reader, key, node, INPUT_LIMIT, read_input, target);
}

json_t *sb_inputs_schema(const struct sb_key *key) {
    (void)key;
    return sb_schema_one_or_many(json_pack("{s:s}", "$ref", "#/$defs/copy"), INPUT_LIMIT);
}

void sb_inputs_free_list(struct sb_step *step) {
    for (size_t i = 0; i < step->input_count; i++) {
        sb_schema_free(step->inputs[i].kind->keys, step->inputs[i].own);
        free(step->inputs[i].own);
    }
    free(step->inputs);
    step->inputs = NULL;
    step->input_count = 0;
}
