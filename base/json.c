#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

void sb_json_drop(json_t **value) {
    json_decref(*value);
}

/* What jansson takes at most for the text: a few bytes can stand for a hash table. */
static uint64_t cost_of(const char *text, size_t len) {
    enum { TABLE = 320, LIST = 128, VALUE = 64 };
    uint64_t cost = len;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
            cost += VALUE;
        } else if (c == '{') {
            cost += TABLE;
        } else if (c == '[') {
            cost += LIST;
        } else if (c == ',' || c == ':') {
            cost += VALUE;
        }
    }
    return cost;
}

json_t *sb_json_parse(const char *text, size_t len, struct sb_error *err) {
    json_error_t e;
    if (len > SB_JSON_MEMORY_LIMIT / 320 && cost_of(text, len) > SB_JSON_MEMORY_LIMIT) {
        sb_fail(err, SB_E_FAILED, "JSON of more values than %u MiB of memory hold",
                SB_JSON_MEMORY_LIMIT >> 20);
        return NULL;
    }
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
    if (!value)
        sb_fail(err, SB_E_FAILED, "invalid JSON at line %d, column %d: %s", e.line, e.column,
                e.text);
    return value;
}

static int append(const char *data, size_t len, void *buf) {
    sb_buf_add(buf, data, len);
    return 0;
}

void sb_json_write(const json_t *value, struct sb_buf *out) {
    json_dump_callback(value, append, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

void sb_json_write_canonical(const json_t *value, struct sb_buf *out) {
    json_dump_callback(value, append, out, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

void sb_json_write_pretty(const json_t *value, struct sb_buf *out) {
    json_dump_callback(value, append, out, JSON_INDENT(2) | JSON_ENCODE_ANY);
    sb_buf_addc(out, '\n');
}

struct sb_digest sb_json_digest_canonical(const json_t *value) {
    sb_autobuf struct sb_buf text = {0};
    sb_json_write_canonical(value, &text);
    return sb_digest_of(text.data, text.len);
}

const char *sb_json_string(const json_t *object, const char *key, const char *fallback) {
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? json_string_value(v) : fallback;
}

json_t *sb_json_nth(const json_t *object, const char *list, const char *only, size_t i) {
    json_t *items = json_object_get(object, list);
    if (items)
        return json_array_get(items, i);
    return i == 0 ? json_object_get(object, only) : NULL;
}

json_int_t sb_json_integer(const json_t *object, const char *key, json_int_t fallback) {
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? json_integer_value(v) : fallback;
}

json_t *sb_json_from_bytes(const char *bytes) {
    json_t *plain = strchr(bytes, '%') ? NULL : json_string(bytes);
    if (plain)
        return plain;
    sb_autobuf struct sb_buf out = {0};
    for (const unsigned char *p = (const unsigned char *)bytes; *p; p++) {
        if (*p < 0x80 && *p != '%')
            sb_buf_addc(&out, (char)*p);
        else
            sb_buf_addf(&out, "%%%02X", *p);
    }
    return json_string(sb_buf_text(&out));
}

json_t *sb_json_from_text(const char *text) {
    sb_autobuf struct sb_buf out = {0};
    for (size_t n; *text; text += n) {
        n = sb_utf8_length(text);
        if (n)
            sb_buf_add(&out, text, n);
        else
            sb_buf_adds(&out, "\xEF\xBF\xBD");
        n += !n;
    }
    return json_string(sb_buf_text(&out));
}

void sb_json_strings(const json_t *array, struct sb_strings *out) {
    size_t i;
    json_t *item;
    json_array_foreach ((json_t *)array, i, item) {
        const char *text = json_string_value(item);
        sb_strings_add(out, text ? text : "");
    }
}
