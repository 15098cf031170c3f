/* Scalars: text, with ${NAME} replaced, and checked against rules. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "document/schema.h"

#define DIGITS     "0123456789"
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_" DIGITS

/* ${A}${A}… of long values must not fill the memory. */
#define REPLACED_LIMIT (4u << 20)

static void report_undeclared(struct sb_reader *reader, const char *key, const char *name,
                              const struct sb_yaml *node) {
    const char *names[257];
    size_t n = 0;
    for (; n < reader->args->n && n < 256; n++)
        names[n] = reader->args->v[n].name;
    names[n] = NULL;
    const char *nearest = sb_text_nearest(name, names);
    if (nearest)
        sb_reader_problem(reader, node,
                          "key \"%s\": ${%.60s} is not declared in args (did you mean ${%.60s}?)",
                          key, name, nearest);
    else
        sb_reader_problem(reader, node,
                          "key \"%s\": ${%.60s} is not declared in args (expected a name of args; "
                          "write $$ for a dollar sign)",
                          key, name);
}

/* In a template a dollar sign is written "$$". */
static void add_value(const struct sb_key *key, const char *value, struct sb_buf *out) {
    for (; *value; value++)
        sb_buf_adds(out, key->variables && *value == '$' ? "$$" : (char[]){*value, '\0'});
}

/* Appends the value of a name, or the name itself if it may be a variable's; false for a problem.
 */
static bool add_named(struct sb_reader *reader, const struct sb_key *key, const char *name,
                      const struct sb_yaml *node, struct sb_buf *out) {
    const char *value = sb_pairs_get(reader->args, name);
    if (!value && key->variables) {
        sb_buf_addf(out, "${%s}", name);
        return true;
    }
    if (!value) {
        report_undeclared(reader, key->name, name, node);
        return false;
    }
    reader->replaced_bytes += strlen(value);
    if (reader->replaced_bytes > REPLACED_LIMIT) {
        sb_reader_problem(reader, node, "key \"%s\": ${…} of this file make more than %u bytes",
                          key->name, REPLACED_LIMIT);
        return false;
    }
    add_value(key, value, out);
    if (reader->args_used && !sb_strings_has(reader->args_used, name))
        sb_strings_add(reader->args_used, name);
    return true;
}

/* Appends what "$…" stands for; returns the length of it, or 0. */
static size_t replace_one(struct sb_reader *reader, const struct sb_key *key, const char *text,
                          const struct sb_yaml *node, struct sb_buf *out) {
    bool braces = text[1] == '{';
    const char *start = text + 1 + braces;
    size_t n = strspn(start, NAME_CHARS);
    if (!braces && (!key->variables || n == 0 || strchr(DIGITS, *start))) {
        add_value(key, "$", out);
        return text[1] == '$' ? 2 : 1;
    }
    if (braces && (n == 0 || start[n] != '}')) {
        sb_reader_problem(reader, node,
                          "key \"%s\": malformed ${…} (expected ${NAME} with a name of args; write "
                          "$$ for a dollar sign)",
                          key->name);
        return 0;
    }
    sb_autofree char *name = sb_strndup(start, n);
    return add_named(reader, key, name, node, out) ? n + (braces ? 3 : 1) : 0;
}

static char *replace(struct sb_reader *reader, const struct sb_key *key,
                     const struct sb_yaml *node) {
    sb_autobuf struct sb_buf out = {0};
    for (const char *p = node->text; *p;) {
        size_t n = strcspn(p, "$");
        sb_buf_add(&out, p, n);
        p += n;
        if (!*p)
            break;
        size_t used = replace_one(reader, key, p, node, &out);
        if (used == 0)
            return NULL;
        p += used;
    }
    return sb_buf_steal(&out);
}

char *sb_schema_text(struct sb_reader *reader, const struct sb_key *key,
                     const struct sb_yaml *node) {
    if (node->type != SB_YAML_SCALAR || sb_yaml_is_null(node)) {
        sb_reader_problem(reader, node, "key \"%s\": expected %s, found %s%s", key->name,
                          key->rule ? key->rule->expected : "a text", sb_yaml_type_name(node),
                          node->type == SB_YAML_SCALAR ? " (quote it if it is meant)" : "");
        return NULL;
    }
    if (key->literal || !reader->args || !strchr(node->text, '$'))
        return sb_strdup(node->text);
    return replace(reader, key, node);
}

/* A guess at what was meant; "" when there is none that is any better. */
static void suggest(const struct sb_rule *rule, const char *text, struct sb_buf *out) {
    const char *nearest = rule->nearest ? sb_text_nearest(text, rule->nearest) : NULL;
    if (nearest) {
        sb_buf_adds(out, nearest);
        return;
    }
    if (rule->suggest && strlen(text) < 256)
        rule->suggest(text, out);
    if (out->len && (!rule->check(out->data) || !strcmp(out->data, text)))
        sb_buf_reset(out);
}

bool sb_schema_check(struct sb_reader *reader, const char *name, const struct sb_rule *rule,
                     const char *text, const struct sb_yaml *node) {
    size_t len = strlen(text);
    if (rule->longest && len > (size_t)rule->longest) {
        sb_reader_problem(reader, node, "key \"%s\": %zu bytes long (expected at most %d)", name,
                          len, rule->longest);
        return false;
    }
    if (rule->check(text))
        return true;
    sb_autobuf struct sb_buf guess = {0};
    suggest(rule, text, &guess);
    if (guess.len)
        sb_reader_problem(reader, node, "key \"%s\": expected %s, found %s (did you mean %s?)",
                          name, rule->expected, sb_text_shown(text).text,
                          sb_text_shown(guess.data).text);
    else
        sb_reader_problem(reader, node, "key \"%s\": expected %s, found %s", name, rule->expected,
                          sb_text_shown(text).text);
    return false;
}
