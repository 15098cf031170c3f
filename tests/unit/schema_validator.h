/*
 * tests/unit/schema_validator: a checker for the part of JSON Schema that recipes/schema.json uses,
 * and YAML as JSON the way editors read it (YAML 1.2, core schema).
 */
#ifndef SB_TESTS_UNIT_SCHEMA_VALIDATOR_H
#define SB_TESTS_UNIT_SCHEMA_VALIDATOR_H

#include <jansson.h>
#include <regex.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"
#include "tests/unit/test.h"

static inline bool text_matches(const char *pattern, const char *text) {
    regex_t regex;
    if (!CHECK(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) == 0)) {
        printf("    %s\n", pattern);
        return false;
    }
    bool match = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return match;
}

static inline json_t *scalar_to_json(const struct sb_yaml *node) {
    const char *text = node->text;
    if (!node->plain)
        return json_string(text);
    if (sb_yaml_is_null(node))
        return json_null();
    if (!strcmp(text, "true") || !strcmp(text, "false"))
        return json_boolean(*text == 't');
    if (text_matches("^[-+]?[0-9]+$", text))
        return json_integer(strtoll(text, NULL, 10));
    if (text_matches("^0o[0-7]+$", text))
        return json_integer(strtoll(text + 2, NULL, 8));
    if (text_matches("^0x[0-9a-fA-F]+$", text))
        return json_integer(strtoll(text + 2, NULL, 16));
    if (text_matches("^[-+]?([.][0-9]+|[0-9]+([.][0-9]*)?)([eE][-+]?[0-9]+)?$", text))
        return json_real(strtod(text, NULL));
    return json_string(text);
}

static inline json_t *yaml_to_json(const struct sb_yaml *node) {
    if (node->type == SB_YAML_SCALAR)
        return scalar_to_json(node);
    json_t *out = node->type == SB_YAML_SEQUENCE ? json_array() : json_object();
    for (size_t i = 0; i < node->count; i++) {
        if (node->type == SB_YAML_SEQUENCE)
            json_array_append_new(out, yaml_to_json(node->items[i]));
        else
            json_object_set_new(out, node->items[2 * i]->text,
                                yaml_to_json(node->items[2 * i + 1]));
    }
    return out;
}

static inline bool validates(const json_t *root, const json_t *schema, const json_t *value);

static inline bool has_type(const char *type, const json_t *value) {
    return (!strcmp(type, "string") && json_is_string(value)) ||
           (!strcmp(type, "number") && json_is_number(value)) ||
           (!strcmp(type, "integer") && json_is_integer(value)) ||
           (!strcmp(type, "boolean") && json_is_boolean(value)) ||
           (!strcmp(type, "object") && json_is_object(value)) ||
           (!strcmp(type, "array") && json_is_array(value));
}

static inline bool valid_type(const json_t *types, const json_t *value) {
    if (json_is_string(types))
        return has_type(json_string_value(types), value);
    for (size_t i = 0; i < json_array_size(types); i++)
        if (has_type(json_string_value(json_array_get(types, i)), value))
            return true;
    return false;
}

static inline size_t count_valid(const json_t *root, const json_t *list, const json_t *value) {
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        n += validates(root, json_array_get(list, i), value);
    return n;
}

static inline bool valid_members(const json_t *root, const json_t *schema, const json_t *value) {
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *more = json_object_get(schema, "additionalProperties");
    const json_t *names = json_object_get(schema, "propertyNames");
    const char *name;
    json_t *member;
    json_object_foreach ((json_t *)value, name, member) {
        const json_t *known = json_object_get(properties, name);
        if (known ? !validates(root, known, member) : more && !validates(root, more, member))
            return false;
        json_t *text = json_string(name);
        bool fine = !names || validates(root, names, text);
        json_decref(text);
        if (!fine)
            return false;
    }
    return true;
}

static inline bool valid_dependents(const json_t *root, const json_t *map, const json_t *value) {
    const char *name;
    json_t *schema;
    json_object_foreach ((json_t *)map, name, schema)
        if (json_object_get(value, name) && !validates(root, schema, value))
            return false;
    return true;
}

/* One keyword; those that speak of another type are fulfilled. */
static inline bool valid_keyword(const json_t *root, const json_t *schema, const char *keyword,
                                 const json_t *rule, const json_t *value) {
    static const char *const silent[] = {"$schema", "$defs", "title", "description", NULL};
    const char *text = json_string_value(value);
    double number = json_number_value(value), bound = json_number_value(rule);
    for (int i = 0; silent[i]; i++)
        if (!strcmp(silent[i], keyword))
            return true;
#define IS(word) (!strcmp(keyword, word))
    if (IS("type"))
        return valid_type(rule, value);
    if (IS("enum")) {
        for (size_t i = 0; i < json_array_size(rule); i++)
            if (json_equal(json_array_get(rule, i), value))
                return true;
        return false;
    }
    if (IS("pattern"))
        return !text || text_matches(json_string_value(rule), text);
    if (IS("maxLength"))
        return !text || (double)strlen(text) <= bound;
    if (IS("minLength"))
        return !text || (double)strlen(text) >= bound;
    if (IS("minimum"))
        return !json_is_number(value) || number >= bound;
    if (IS("maximum"))
        return !json_is_number(value) || number <= bound;
    if (IS("minItems"))
        return !json_is_array(value) || (double)json_array_size(value) >= bound;
    if (IS("maxItems"))
        return !json_is_array(value) || (double)json_array_size(value) <= bound;
    if (IS("maxProperties"))
        return !json_is_object(value) || (double)json_object_size(value) <= bound;
    if (IS("items"))
        return !json_is_array(value) || ({
            size_t fine = 0;
            for (size_t i = 0; i < json_array_size(value); i++)
                fine += validates(root, rule, json_array_get(value, i));
            fine == json_array_size(value);
        });
    if (IS("required")) {
        for (size_t i = 0; i < json_array_size(rule); i++)
            if (!json_object_get(value, json_string_value(json_array_get(rule, i))))
                return !json_is_object(value);
        return true;
    }
    if (IS("properties") || IS("additionalProperties") || IS("propertyNames"))
        return !json_is_object(value) || valid_members(root, schema, value);
    if (IS("anyOf"))
        return count_valid(root, rule, value) > 0;
    if (IS("oneOf"))
        return count_valid(root, rule, value) == 1;
    if (IS("dependentSchemas"))
        return !json_is_object(value) || valid_dependents(root, rule, value);
    if (IS("$ref")) {
        const json_t *definition = json_object_get(json_object_get(root, "$defs"),
                                                   json_string_value(rule) + strlen("#/$defs/"));
        return CHECK(definition) && validates(root, definition, value);
    }
#undef IS
    printf("    keyword %s\n", keyword);
    return CHECK(!"a keyword that this checker does not know");
}

static inline bool validates(const json_t *root, const json_t *schema, const json_t *value) {
    if (json_is_boolean(schema))
        return json_is_true(schema);
    const char *keyword;
    json_t *rule;
    json_object_foreach ((json_t *)schema, keyword, rule) {
        if (!valid_keyword(root, schema, keyword, rule, value))
            return false;
    }
    return true;
}

#endif
