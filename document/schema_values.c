/* The value of one key, by its type. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "document/environment.h"
#include "document/schema.h"

typedef void read_function(struct sb_reader *reader, const struct sb_key *key,
                           const struct sb_yaml *node, void *member);

static void expected(struct sb_reader *reader, const struct sb_key *key, const char *what,
                     const struct sb_yaml *node) {
    sb_reader_problem(reader, node, "key \"%s\": expected %s, found %s", key->name, what,
                      node->type == SB_YAML_SCALAR && !sb_yaml_is_null(node)
                          ? sb_text_shown(node->text).text
                          : sb_yaml_type_name(node));
}

/* The text of a scalar; what says what else was expected. */
static char *scalar(struct sb_reader *reader, const struct sb_key *key, const char *what,
                    const struct sb_yaml *node) {
    if (node->type == SB_YAML_SCALAR && !sb_yaml_is_null(node))
        return sb_schema_text(reader, key, node);
    expected(reader, key, what, node);
    return NULL;
}

/* The index of text in key->values, or -1 and a problem with the nearest of them. */
static int find_value(struct sb_reader *reader, const struct sb_key *key, const char *text,
                      const struct sb_yaml *node) {
    sb_autobuf struct sb_buf list = {0};
    for (int i = 0; key->values[i]; i++) {
        if (!strcmp(key->values[i], text))
            return i;
        sb_buf_addf(&list, "%s%s", i ? ", " : "", key->values[i]);
    }
    const char *nearest = sb_text_nearest(text, key->values);
    sb_reader_problem(reader, node, "key \"%s\": expected one of %s, found %s%s%s%s", key->name,
                      sb_buf_text(&list), sb_text_shown(text).text,
                      nearest ? " (did you mean \"" : "", nearest ? nearest : "",
                      nearest ? "\"?)" : "");
    return -1;
}

static bool check_text(struct sb_reader *reader, const struct sb_key *key, const char *text,
                       const struct sb_yaml *node) {
    if (key->not_empty && !*text) {
        sb_reader_problem(reader, node, "key \"%s\": expected a text that is not empty", key->name);
        return false;
    }
    if (key->values)
        return find_value(reader, key, text, node) >= 0;
    return !key->rule || sb_schema_check(reader, key->name, key->rule, text, node);
}

static void read_string(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *member) {
    sb_autofree char *text = sb_schema_text(reader, key, node);
    if (text && check_text(reader, key, text, node)) {
        free(*(char **)member);
        *(char **)member = sb_steal(text);
    }
}

static void read_bool(struct sb_reader *reader, const struct sb_key *key,
                      const struct sb_yaml *node, void *member) {
    sb_autofree char *text = scalar(reader, key, "true or false", node);
    if (!text)
        return;
    if (!strcmp(text, "true") || !strcmp(text, "false"))
        *(bool *)member = *text == 't';
    else
        expected(reader, key, "true or false", node);
}

static void read_integer(struct sb_reader *reader, const struct sb_key *key,
                         const struct sb_yaml *node, void *member) {
    sb_autofree char *what =
        sb_format("a number from %lld to %lld", (long long)key->least, (long long)key->most);
    sb_autofree char *text = scalar(reader, key, what, node);
    if (!text)
        return;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool digits = *text && text[strspn(text, "0123456789")] == '\0';
    if (digits && !errno && value >= key->least && value <= key->most)
        *(int64_t *)member = value;
    else
        sb_reader_problem(reader, node, "key \"%s\": expected %s, found %s", key->name, what,
                          sb_text_shown(text).text);
}

static void read_size(struct sb_reader *reader, const struct sb_key *key,
                      const struct sb_yaml *node, void *member) {
    sb_autofree char *text = scalar(reader, key, "a size such as 8G or 512Mi", node);
    if (text && !sb_text_parse_size(text, member))
        expected(reader, key, "a size such as 8G or 512Mi", node);
}

static void read_duration(struct sb_reader *reader, const struct sb_key *key,
                          const struct sb_yaml *node, void *member) {
    sb_autofree char *text = scalar(reader, key, "a duration such as 60s or 1h30m", node);
    if (text && !sb_text_parse_duration(text, member))
        expected(reader, key, "a duration such as 60s or 1h30m", node);
    else if (text && key->most && *(uint64_t *)member > (uint64_t)key->most)
        sb_reader_problem(reader, node, "key \"%s\": is too long%s", key->name,
                          key->most == 86400 ? " (a day is the most)" : "");
}

static void read_choice(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *member) {
    sb_autofree char *text = sb_schema_text(reader, key, node);
    int index = text ? find_value(reader, key, text, node) : -1;
    if (index >= 0)
        *(int *)member = index;
}

static void read_flags(struct sb_reader *reader, const struct sb_key *key,
                       const struct sb_yaml *node, void *member) {
    if (node->type != SB_YAML_SEQUENCE) {
        expected(reader, key, "a list", node);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        sb_autofree char *text = sb_schema_text(reader, key, node->items[i]);
        int index = text ? find_value(reader, key, text, node->items[i]) : -1;
        if (index >= 0)
            *(unsigned *)member |= 1u << index;
    }
}

static void read_mode(struct sb_reader *reader, const struct sb_key *key,
                      const struct sb_yaml *node, void *member) {
    static const char what[] = "permissions in octal such as \"0644\"";
    sb_autofree char *text = scalar(reader, key, what, node);
    if (!text)
        return;
    const char *digits = text + (!strncmp(text, "0o", 2) ? 2 : 0);
    size_t n = strspn(digits, "01234567");
    if (n >= 3 && n <= 5 && !digits[n] && strtol(digits, NULL, 8) <= 07777)
        *(int32_t *)member = (int32_t)strtol(digits, NULL, 8);
    else
        expected(reader, key, what, node);
}

/* 2^32 - 1 means "no user" to the kernel. */
static bool parse_id(const char *text, size_t len, uint32_t *out) {
    if (len == 0 || len > 10 || strspn(text, "0123456789") < len)
        return false;
    unsigned long long id = strtoull(text, NULL, 10);
    *out = (uint32_t)id;
    return id < UINT32_MAX;
}

static void read_owner(struct sb_reader *reader, const struct sb_key *key,
                       const struct sb_yaml *node, void *member) {
    static const char what[] = "UID:GID in numbers such as \"1000:1000\"";
    sb_autofree char *text = scalar(reader, key, what, node);
    if (!text)
        return;
    uint32_t ids[2];
    size_t n = strcspn(text, ":");
    if (text[n] && parse_id(text, n, &ids[0]) &&
        parse_id(text + n + 1, strlen(text + n + 1), &ids[1])) {
        memcpy(member, ids, sizeof ids);
    } else if (parse_id(text, strlen(text), &ids[0])) {
        sb_reader_problem(reader, node,
                          "key \"%s\": expected %s, found %s (did you mean "
                          "\"%u:%u\"?)",
                          key->name, what, sb_text_shown(text).text, ids[0], ids[0]);
    } else {
        expected(reader, key, what, node);
    }
}

/* ---- lists ---- */

static bool check_count(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node) {
    if (key->not_empty && node->count == 0)
        sb_reader_problem(reader, node, "key \"%s\": expected at least one, found none", key->name);
    if (key->most == 0 || node->count <= (size_t)key->most)
        return true;
    sb_reader_problem(reader, node, "key \"%s\": expected at most %lld, found %zu", key->name,
                      (long long)key->most, node->count);
    return false;
}

static void read_item(struct sb_reader *reader, const struct sb_key *key,
                      const struct sb_yaml *node, struct sb_strings *list) {
    sb_autofree char *text = sb_schema_text(reader, key, node);
    if (text && check_text(reader, key, text, node))
        sb_strings_take(list, sb_steal(text));
}

static void read_strings(struct sb_reader *reader, const struct sb_key *key,
                         const struct sb_yaml *node, void *member) {
    struct sb_key item = *key;
    item.not_empty = false; /* speaks of the list */
    if (node->type == SB_YAML_SCALAR && !sb_yaml_is_null(node)) {
        if (key->one_or_many)
            read_item(reader, &item, node, member);
        else
            sb_reader_problem(reader, node,
                              "key \"%s\": expected a list, found %s (write it as "
                              "[…], one item for each word)",
                              key->name, sb_text_shown(node->text).text);
        return;
    }
    if (node->type != SB_YAML_SEQUENCE) {
        expected(reader, key, "a list", node);
        return;
    }
    if (check_count(reader, key, node))
        for (size_t i = 0; i < node->count; i++)
            read_item(reader, &item, node->items[i], member);
}

static void read_pairs(struct sb_reader *reader, const struct sb_key *key,
                       const struct sb_yaml *node, void *member) {
    struct sb_pairs *pairs = member;
    if (node->type != SB_YAML_MAPPING) {
        expected(reader, key, "a mapping of names to values", node);
        return;
    }
    if (!check_count(reader, key, node))
        return;
    for (size_t i = 0; i < node->count; i++) {
        const struct sb_yaml *name = node->items[2 * i], *value = node->items[2 * i + 1];
        if (key->rule && !sb_schema_check(reader, key->name, key->rule, name->text, name))
            continue;
        struct sb_key item = {
            .name = name->text, .literal = key->literal, .variables = key->variables};
        struct sb_strings made_of = {0}, *used = reader->args_used;
        reader->args_used = used ? used : &made_of;
        sb_autofree char *text = sb_schema_text(reader, &item, value);
        reader->args_used = used;
        if (!text) {
            sb_strings_free(&made_of);
            continue;
        }
        SB_GROW(pairs->v, pairs->n, pairs->cap); /* names differ: YAML has no duplicate keys */
        pairs->v[pairs->n++] = (struct sb_pair){sb_strdup(name->text), sb_steal(text), value->line,
                                                value->column, made_of};
        if (key->variables)
            sb_environment_inherit(pairs);
    }
}

static void read_nested(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *target) {
    sb_schema_read(reader, key->keys, key->name, node, target);
}

void sb_schema_read_key(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *target) {
    static read_function *const readers[] = {
        [SB_KEY_STRING] = read_string,     [SB_KEY_BOOL] = read_bool,
        [SB_KEY_INTEGER] = read_integer,   [SB_KEY_SIZE] = read_size,
        [SB_KEY_DURATION] = read_duration, [SB_KEY_CHOICE] = read_choice,
        [SB_KEY_FLAGS] = read_flags,       [SB_KEY_MODE] = read_mode,
        [SB_KEY_OWNER] = read_owner,       [SB_KEY_STRINGS] = read_strings,
        [SB_KEY_PAIRS] = read_pairs,
    };
    if (key->given)
        *(bool *)((char *)target + key->given) = true;
    if (key->type == SB_KEY_CUSTOM)
        key->read(reader, key, node, target);
    else if (key->type == SB_KEY_MAPPING)
        read_nested(reader, key, node, target);
    else
        readers[key->type](reader, key, node, (char *)target + key->offset);
}
