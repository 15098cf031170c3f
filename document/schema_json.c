/* Tables of keys as JSON Schema, draft 2020-12. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "document/schema.h"

static json_t *any_scalar(void) {
    return json_pack("{s:[s,s,s]}", "type", "string", "number", "boolean");
}

static json_t *pattern(const char *text) {
    return json_pack("{s:s, s:s}", "type", "string", "pattern", text);
}

static json_t *either(json_t *a, json_t *b) {
    return json_pack("{s:[o,o]}", "anyOf", a, b);
}

static json_t *one_of_values(const char *const *values) {
    json_t *list = json_array();
    for (size_t i = 0; values[i]; i++)
        json_array_append_new(list, json_string(values[i]));
    return json_pack("{s:o}", "enum", list);
}

static json_t *by_rule(const struct sb_rule *rule) {
    json_t *schema =
        json_pack("{s:o}", "type",
                  rule->number ? json_pack("[s,s]", "string", "number") : json_string("string"));
    if (rule->pattern)
        json_object_set_new(schema, "pattern", json_string(rule->pattern));
    if (rule->longest)
        json_object_set_new(schema, "maxLength", json_integer(rule->longest));
    if (rule->number && rule->most) {
        json_object_set_new(schema, "minimum", json_integer(1));
        json_object_set_new(schema, "maximum", json_integer(rule->most));
    }
    return schema;
}

/* Any scalar that the key takes, without ${NAME}. */
static json_t *plain_scalar(const struct sb_key *key, bool *takes_any_text) {
    *takes_any_text = false;
    if (key->values)
        return one_of_values(key->values);
    if (key->rule)
        return by_rule(key->rule);
    *takes_any_text = true;
    json_t *schema = any_scalar();
    if (key->not_empty && key->type == SB_KEY_STRING)
        json_object_set_new(schema, "minLength", json_integer(1));
    return schema;
}

static json_t *or_substituted(const struct sb_key *key, json_t *schema) {
    return key->literal ? schema
                        : either(schema, json_pack("{s:s}", "$ref", "#/$defs/substituted"));
}

static json_t *scalar(const struct sb_key *key) {
    bool takes_any_text;
    json_t *schema = plain_scalar(key, &takes_any_text);
    return takes_any_text ? schema : or_substituted(key, schema);
}

static json_t *array(const struct sb_key *key) {
    json_t *list = json_pack("{s:s, s:o}", "type", "array", "items", scalar(key));
    if (key->not_empty)
        json_object_set_new(list, "minItems", json_integer(1));
    if (key->most)
        json_object_set_new(list, "maxItems", json_integer(key->most));
    return key->one_or_many ? either(list, scalar(key)) : list;
}

static json_t *object(const struct sb_key *key) {
    json_t *schema =
        json_pack("{s:s, s:o}", "type", "object", "additionalProperties", any_scalar());
    if (key->rule)
        json_object_set_new(schema, "propertyNames",
                            json_pack("{s:s, s:i}", "pattern", key->rule->pattern, "maxLength",
                                      key->rule->longest));
    if (key->most)
        json_object_set_new(schema, "maxProperties", json_integer(key->most));
    return schema;
}

static json_t *integer(const struct sb_key *key) {
    return either(json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)key->least,
                            "maximum", (json_int_t)key->most),
                  pattern("^[0-9]+$"));
}

/* A number, or text of a form. */
static json_t *quantity(const char *form) {
    return json_pack("{s:[s,s], s:i, s:s}", "type", "string", "number", "minimum", 0, "pattern",
                     form);
}

static json_t *by_type(const struct sb_key *key) {
    switch (key->type) {
    case SB_KEY_STRING:
    case SB_KEY_CHOICE:
        return scalar(key);
    case SB_KEY_BOOL:
        return or_substituted(key, json_pack("{s:[b,b,s,s]}", "enum", 1, 0, "true", "false"));
    case SB_KEY_INTEGER:
        return or_substituted(key, integer(key));
    case SB_KEY_SIZE:
        return or_substituted(key, quantity("^[0-9]+([.][0-9]*)?([KMGTPkmgtp]i?)?B?$"));
    case SB_KEY_DURATION:
        return or_substituted(key, quantity("^([0-9]+[dhms])*[0-9]+[dhms]?$"));
    case SB_KEY_MODE:
        return or_substituted(key, json_pack("{s:[s,s], s:s}", "type", "string", "integer",
                                             "pattern", "^(0o)?0?[0-7]{3,4}$"));
    case SB_KEY_OWNER:
        return or_substituted(key, pattern("^[0-9]{1,10}:[0-9]{1,10}$"));
    case SB_KEY_FLAGS:
    case SB_KEY_STRINGS:
        return array(key);
    case SB_KEY_PAIRS:
        return object(key);
    case SB_KEY_MAPPING:
        return sb_schema_of_keys(key->keys);
    case SB_KEY_CUSTOM:
        return key->schema(key);
    }
    return json_true();
}

json_t *sb_schema_of_key(const struct sb_key *key) {
    json_t *schema = by_type(key);
    if (key->description) {
        sb_autofree char *text = key->fallback
                                     ? sb_format("%s Default: %s.", key->description, key->fallback)
                                     : sb_strdup(key->description);
        json_object_set_new(schema, "description", json_string(text));
    }
    return schema;
}

json_t *sb_schema_of_keys(const struct sb_key *keys) {
    json_t *properties = json_object(), *required = json_array();
    const struct sb_key *shorthand = NULL;
    for (const struct sb_key *key = keys; key->name; key++) {
        json_object_set_new(properties, key->name, sb_schema_of_key(key));
        if (key->required)
            json_array_append_new(required, json_string(key->name));
        if (key->shorthand)
            shorthand = key;
    }
    json_t *schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
                               "additionalProperties", 0);
    if (json_array_size(required))
        json_object_set(schema, "required", required);
    json_decref(required);
    return shorthand ? either(sb_schema_of_key(shorthand), schema) : schema;
}

json_t *sb_schema_one_or_many(json_t *one, size_t most) {
    return json_pack("{s:[{s:s, s:I, s:O}, o]}", "anyOf", "type", "array", "maxItems",
                     (json_int_t)most, "items", one, one);
}
