/* A description as JSON, both ways, by the list of its fields. What values may be is in
 * description_check.c. */
#include "deploy/description.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "deploy/description_private.h"

bool sb_description_own_ids(const struct sb_description *d) {
    return !(d->harden_off >> SB_HARDEN_OWN_IDS & 1);
}

/* ---- writing ---- */

static json_t *strings_json(const struct sb_strings *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(array, json_string(list->v[i]));
    return array;
}

static json_t *pairs_json(const struct sb_pairs *pairs) {
    json_t *object = json_object();
    for (size_t i = 0; i < pairs->n; i++)
        json_object_set_new(object, pairs->v[i].name, json_string(pairs->v[i].value));
    return object;
}

static json_t *devices_json(uint64_t bits) {
    json_t *devices = json_array();
    for (int i = 0; i < SB_GPU_LIMIT; i++)
        if (bits >> i & 1)
            json_array_append_new(devices, json_integer(i));
    return devices;
}

static bool is_off(const struct sb_field *field, const void *at) {
    return *(const unsigned *)at >> field->bit & 1;
}

static bool is_usual(const struct sb_field *field, const void *at) {
    switch (field->type) {
    case SB_FIELD_TEXT:
    case SB_FIELD_SIZE:
        return !*(char *const *)at;
    case SB_FIELD_NUMBER:
        return sb_field_number(field, at) == field->usual;
    case SB_FIELD_DEVICE:
        return !*(const bool *)at;
    case SB_FIELD_SWITCH:
        return !is_off(field, at);
    default:
        return ((const struct sb_pairs *)at)->n == 0;
    }
}

static json_t *object_json(const struct sb_field *fields, const void *target);

static json_t *layers_json(const struct sb_field *fields, const struct sb_description *d) {
    json_t *array = json_array();
    for (size_t i = 0; i < d->layer_count; i++)
        json_array_append_new(array, object_json(fields, &d->layers[i]));
    return array;
}

static json_t *value_json(const struct sb_field *field, const void *target) {
    const void *at = (const char *)target + field->offset;
    const char *text;
    switch (field->type) {
    case SB_FIELD_TEXT:
    case SB_FIELD_SIZE:
    case SB_FIELD_MEDIA:
        text = *(const char *const *)at;
        return text ? json_string(text) : json_null();
    case SB_FIELD_NUMBER:
        return json_integer((json_int_t)sb_field_number(field, at));
    case SB_FIELD_BOOL:
        return json_boolean(*(const bool *)at);
    case SB_FIELD_CHOICE:
        return json_string(sb_field_values(field)[sb_field_number(field, at)]);
    case SB_FIELD_DEVICES:
        return devices_json(*(const uint64_t *)at);
    case SB_FIELD_SWITCH:
        return json_boolean(!is_off(field, at));
    case SB_FIELD_DEVICE:
        return json_pack("[s]", *field->values);
    case SB_FIELD_STRINGS:
    case SB_FIELD_UNITS:
        return strings_json(at);
    case SB_FIELD_PAIRS:
        return pairs_json(at);
    case SB_FIELD_DIGEST:
        return json_string(sb_digest_text(at).text);
    case SB_FIELD_LAYERS:
        return layers_json(field->fields, target);
    case SB_FIELD_OBJECT:
        break;
    }
    return object_json(field->fields, target);
}

static json_t *object_json(const struct sb_field *fields, const void *target) {
    json_t *object = json_object();
    for (const struct sb_field *field = fields; field->key; field++)
        if (!field->later || !is_usual(field, (const char *)target + field->offset))
            json_object_set_new(object, field->key, value_json(field, target));
    return object;
}

json_t *sb_description_json(const struct sb_description *d) {
    json_t *json = json_pack("{s:i}", "format", SB_DESCRIPTION_FORMAT);
    sb_autojson json_t *fields = object_json(sb_description_fields, d);
    json_object_update(json, fields);
    return json;
}

void sb_description_write(const struct sb_description *d, struct sb_buf *out) {
    sb_autojson json_t *json = sb_description_json(d);
    sb_json_write_canonical(json, out);
}

/* ---- reading: every key must be there, have its type, and be taken ---- */

struct source {
    json_t *left; /* keys are taken out of it as they are read */
    const char *where;
    struct sb_error *err;
    bool failed;
};

static void fail(struct source *s, const char *key, const char *what) {
    if (!s->failed)
        sb_fail(s->err, SB_E_INTEGRITY, "%s%s%s: %s", s->where, *s->where && *key ? "." : "", key,
                what);
    s->failed = true;
}

/* A new reference, or NULL and failed. */
static json_t *take(struct source *s, const char *key) {
    json_t *value = json_incref(json_object_get(s->left, key));
    if (!value)
        fail(s, key, "is missing");
    else
        json_object_del(s->left, key);
    return value;
}

static const char *text_of(struct source *s, const struct sb_field *field, const json_t *value) {
    if (!json_is_string(value) && !(field->null && json_is_null(value)))
        fail(s, field->key, "is no text");
    return json_string_value(value); /* jansson takes no NUL */
}

static void read_number(struct source *s, const struct sb_field *field, const json_t *value,
                        void *at) {
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || (uint64_t)number > sb_field_most(field))
        fail(s, field->key, "is no number in its range");
    sb_field_set_number(field, at, s->failed ? 0 : (uint64_t)number);
}

static bool read_bool(struct source *s, const struct sb_field *field, const json_t *value) {
    if (!json_is_boolean(value))
        fail(s, field->key, "is neither true nor false");
    return json_is_true(value);
}

static void read_choice(struct source *s, const struct sb_field *field, const json_t *value,
                        void *at) {
    const char *const *values = sb_field_values(field), *text = text_of(s, field, value);
    uint64_t i = 0;
    while (text && values[i] && strcmp(values[i], text) != 0)
        i++;
    if (!text || !values[i])
        fail(s, field->key, "is none of the values that there are");
    sb_field_set_number(field, at, s->failed ? 0 : i);
}

static void read_strings(struct source *s, const struct sb_field *field, const json_t *value,
                         struct sb_strings *out) {
    size_t i;
    json_t *item;
    if (!json_is_array(value) || json_array_size(value) > sb_field_most(field)) {
        fail(s, field->key, "is no list, or too long");
        return;
    }
    json_array_foreach (value, i, item) {
        if (!json_is_string(item)) {
            fail(s, field->key, "is no list of texts");
            return;
        }
        sb_strings_add(out, json_string_value(item));
    }
}

static void read_pairs(struct source *s, const struct sb_field *field, json_t *value,
                       struct sb_pairs *out) {
    struct source pairs = {NULL, field->key, s->err, s->failed};
    const char *name;
    json_t *item;
    if (!json_is_object(value))
        fail(s, field->key, "is no object");
    json_object_foreach (value, name, item) {
        if (!json_is_string(item))
            fail(&pairs, "", "has a value that is no text");
        else
            sb_pairs_set(out, name, json_string_value(item));
    }
    s->failed = s->failed || pairs.failed;
}

static void read_devices(struct source *s, const struct sb_field *field, const json_t *value,
                         uint64_t *out) {
    size_t i;
    json_t *item;
    if (!json_is_array(value))
        fail(s, field->key, "is no list");
    json_array_foreach (value, i, item) {
        json_int_t n = json_integer_value(item);
        if (json_is_integer(item) && n >= 0 && n < SB_GPU_LIMIT && !(*out >> n & 1))
            *out |= UINT64_C(1) << n;
        else
            fail(s, field->key, "is no list of different devices");
    }
}

static bool read_device(struct source *s, const struct sb_field *field, const json_t *value) {
    const char *only = json_string_value(json_array_get(value, 0));
    bool there = json_array_size(value) == 1 && only && !strcmp(only, *field->values);
    if (!there)
        fail(s, field->key, "has none that there are");
    return there;
}

static void read_digest(struct source *s, const struct sb_field *field, const json_t *value,
                        struct sb_digest *out) {
    const char *text = text_of(s, field, value);
    if (text && sb_digest_parse(text, out, NULL) < 0)
        fail(s, field->key, "is no digest");
}

static const char *read_media(struct source *s, const struct sb_field *field, const json_t *value) {
    const char *text = text_of(s, field, value), *type = text ? sb_media_static(text) : NULL;
    if (!s->failed && sb_media_kind(type) != field->kind)
        fail(s, field->key, "is of the wrong kind");
    return type;
}

static void read_object(struct source *s, const struct sb_field *field, const json_t *value,
                        void *target);

static void read_layers(struct source *s, const struct sb_field *field, const json_t *value,
                        struct sb_description *out) {
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n > field->most) {
        fail(s, field->key, "is no list, or too long");
        return;
    }
    out->layers = sb_alloc((n + 1) * sizeof *out->layers);
    out->layer_count = n;
    for (size_t i = 0; i < n && !s->failed; i++)
        read_object(s, field, json_array_get(value, i), &out->layers[i]);
}

static void read_value(struct source *s, const struct sb_field *field, json_t *value,
                       void *target) {
    void *at = (char *)target + field->offset;
    const char *text;
    switch (field->type) {
    case SB_FIELD_TEXT:
    case SB_FIELD_SIZE:
        text = text_of(s, field, value);
        *(char **)at = text ? sb_strdup(text) : NULL;
        break;
    case SB_FIELD_NUMBER:
        read_number(s, field, value, at);
        break;
    case SB_FIELD_BOOL:
        *(bool *)at = read_bool(s, field, value);
        break;
    case SB_FIELD_CHOICE:
        read_choice(s, field, value, at);
        break;
    case SB_FIELD_DEVICES:
        read_devices(s, field, value, at);
        break;
    case SB_FIELD_SWITCH:
        *(unsigned *)at |= read_bool(s, field, value) ? 0 : 1u << field->bit;
        break;
    case SB_FIELD_DEVICE:
        *(bool *)at = read_device(s, field, value);
        break;
    case SB_FIELD_STRINGS:
    case SB_FIELD_UNITS:
        read_strings(s, field, value, at);
        break;
    case SB_FIELD_PAIRS:
        read_pairs(s, field, value, at);
        break;
    case SB_FIELD_DIGEST:
        read_digest(s, field, value, at);
        break;
    case SB_FIELD_MEDIA:
        *(const char **)at = read_media(s, field, value);
        break;
    case SB_FIELD_OBJECT:
        read_object(s, field, value, target);
        break;
    case SB_FIELD_LAYERS:
        read_layers(s, field, value, target);
        break;
    }
}

static void no_more_keys(struct source *s) {
    const char *key = json_object_iter_key(json_object_iter(s->left));
    if (!key || s->failed)
        return;
    sb_fail(s->err, SB_E_INTEGRITY, "%s%sthe key %s is not known to this sbuild", s->where,
            *s->where ? ": " : "", sb_text_shown(key).text);
    sb_error_hint(s->err, "it was made by a later version");
    s->failed = true;
}

static void read_fields(struct source *s, const struct sb_field *fields, void *target) {
    for (const struct sb_field *field = fields; field->key && !s->failed; field++) {
        if (field->later && !json_object_get(s->left, field->key)) {
            if (field->type == SB_FIELD_NUMBER)
                sb_field_set_number(field, (char *)target + field->offset, field->usual);
            continue;
        }
        sb_autojson json_t *value = take(s, field->key);
        if (value)
            read_value(s, field, value, target);
    }
    no_more_keys(s);
}

static void read_object(struct source *s, const struct sb_field *field, const json_t *value,
                        void *target) {
    sb_autojson json_t *left = json_copy((json_t *)value);
    struct source object = {left, field->key, s->err, s->failed};
    if (!json_is_object(value))
        fail(s, field->key, "is no object");
    else
        read_fields(&object, field->fields, target);
    s->failed = s->failed || object.failed;
}

int sb_description_parse(const char *text, size_t len, struct sb_description *out,
                         struct sb_error *err) {
    *out = (struct sb_description){0};
    if (len > SB_DESCRIPTION_LIMIT)
        return sb_fail(err, SB_E_INTEGRITY, "the service's description is too large");
    struct sb_error own = {0};
    sb_autojson json_t *json = sb_json_parse(text, len, &own);
    if (!json_is_object(json))
        return sb_fail(err, SB_E_INTEGRITY, "the service's description: %s",
                       json ? "is no object" : own.message);
    struct source source = {json, "", err, false};
    sb_autojson json_t *format = take(&source, "format");
    if (!json_is_integer(format) || json_integer_value(format) != SB_DESCRIPTION_FORMAT)
        fail(&source, "format", "is of another version of sbuild");
    read_fields(&source, sb_description_fields, out);
    if (source.failed || sb_description_check(out, err) < 0) {
        sb_description_free(out);
        return sb_error_context(err, "the service's description");
    }
    return 0;
}
