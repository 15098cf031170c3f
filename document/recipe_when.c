/* when: what is left out where an argument has another value. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "document/arguments.h"
#include "document/recipe_private.h"

enum { CONDITION_LIMIT = 32, VALUE_LIMIT = 100 };

/* What an argument is compared with; false after a mistake. */
static bool read_values(struct sb_reader *reader, const char *name, const struct sb_yaml *node,
                        struct sb_strings *out) {
    const struct sb_key key = {.name = name,
                               .type = SB_KEY_STRINGS,
                               .one_or_many = true,
                               .not_empty = true,
                               .most = VALUE_LIMIT};
    size_t before = reader->problem_total;
    if (node->type == SB_YAML_MAPPING)
        sb_reader_problem(reader, node,
                          "key \"%s\": expected a value, or a list of values, found a mapping",
                          name);
    else
        sb_schema_read_key(reader, &key, node, out);
    bool read = reader->problem_total == before;
    for (size_t i = 0; i < out->n && read; i++) {
        sb_autofree char *guess = NULL;
        if (sb_argument_can_be(name, out->v[i], &guess))
            continue;
        sb_reader_problem(reader, node->type == SB_YAML_SEQUENCE ? node->items[i] : node,
                          "key \"%s\": it is never %s%s%s%s", name, sb_text_shown(out->v[i]).text,
                          guess ? " (did you mean " : "", guess ? guess : "", guess ? "?)" : "");
    }
    return reader->problem_total == before;
}

static void add_reason(const char *name, const char *value, const struct sb_strings *wanted,
                       struct sb_buf *out) {
    sb_buf_addf(out, "%s%s is %s, not ", out->len ? "; " : "", name, sb_text_shown(value).text);
    for (size_t i = 0; i < wanted->n; i++)
        sb_buf_addf(out, "%s%s",
                    i == 0               ? ""
                    : i + 1 == wanted->n ? " or "
                                         : ", ",
                    sb_text_shown(wanted->v[i]).text);
}

char *sb_when_read(struct sb_reader *reader, const struct sb_yaml *node) {
    struct sb_buf why = {0};
    if (node->type != SB_YAML_MAPPING || node->count == 0 || node->count > CONDITION_LIMIT) {
        sb_reader_problem(reader, node,
                          "key \"when\": expected arguments and their values, such as "
                          "{PLATFORM_ARCH: amd64}, at most %d, found %s",
                          CONDITION_LIMIT,
                          node->type != SB_YAML_MAPPING ? sb_yaml_type_name(node)
                          : node->count                 ? "more"
                                                        : "none");
        return NULL;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct sb_yaml *name = node->items[2 * i];
        const char *value = sb_pairs_get(reader->args, name->text);
        sb_autostrings struct sb_strings wanted = {0};
        if (!value)
            sb_reader_undeclared(reader, "when", name->text, name);
        else if (read_values(reader, name->text, node->items[2 * i + 1], &wanted) &&
                 !sb_strings_has(&wanted, value))
            add_reason(name->text, value, &wanted, &why);
    }
    return why.len ? sb_buf_steal(&why) : NULL;
}

void sb_when_skip(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                  void *target) {
    (void)reader;
    (void)key;
    (void)node;
    (void)target;
}

json_t *sb_when_schema(const struct sb_key *key) {
    (void)key;
    const struct sb_key values = {
        .type = SB_KEY_STRINGS, .one_or_many = true, .not_empty = true, .most = VALUE_LIMIT};
    return json_pack("{s:s, s:i, s:i, s:o}", "type", "object", "minProperties", 1, "maxProperties",
                     CONDITION_LIMIT, "additionalProperties", sb_schema_of_key(&values));
}

/* ---- taking them out ---- */

static struct sb_left_out *add_left_out(struct sb_recipe *recipe, size_t before) {
    SB_GROW(recipe->left_out, recipe->left_out_count, recipe->left_out_cap);
    struct sb_left_out *out = &recipe->left_out[recipe->left_out_count++];
    *out = (struct sb_left_out){.before = before};
    return out;
}

/* Those that say so, in place; n counts from 1, as they stand in the file. */
static void leave_out_steps(struct sb_recipe *recipe, struct sb_recipe_layer *layer,
                            size_t before) {
    size_t kept = 0;
    for (size_t i = 0; i < layer->step_count; i++) {
        struct sb_step *step = &layer->steps[i];
        if (!step->left_out) {
            layer->steps[kept++] = *step;
            continue;
        }
        struct sb_left_out *left = add_left_out(recipe, before);
        left->why = sb_steal(step->left_out);
        left->step = i + 1;
        left->layer = (struct sb_recipe_layer){.name = sb_strdup(layer->name ? layer->name : ""),
                                               .place = step->place,
                                               .steps = sb_alloc(sizeof *step),
                                               .step_count = 1};
        *left->layer.steps = *step;
    }
    layer->step_count = kept;
}

static char *why_all(const struct sb_recipe_layer *layer) {
    for (size_t i = 0; i < layer->step_count; i++)
        if (!layer->steps[i].left_out)
            return NULL;
    if (layer->step_count == 0)
        return NULL;
    return layer->step_count == 1 ? sb_strdup(layer->steps[0].left_out)
                                  : sb_format("all its steps are: %s", layer->steps[0].left_out);
}

void sb_layers_leave_out(struct sb_recipe *recipe) {
    size_t kept = 0;
    for (size_t i = 0; i < recipe->layer_count; i++) {
        struct sb_recipe_layer layer = recipe->layers[i];
        if (!layer.left_out)
            layer.left_out = why_all(&layer);
        if (!layer.left_out) {
            leave_out_steps(recipe, &layer, kept);
            recipe->layers[kept++] = layer;
            continue;
        }
        struct sb_left_out *left = add_left_out(recipe, kept);
        left->why = sb_steal(layer.left_out);
        left->layer = layer;
    }
    recipe->layer_count = kept;
}
