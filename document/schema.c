#include "document/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

/* Beyond these nobody reads on; they are counted. */
enum { PROBLEMS_KEPT = 500 };

/* ---- problems ---- */

void sb_reader_problem(struct sb_reader *reader, const struct sb_yaml *node, const char *fmt, ...) {
    reader->problem_total++;
    if (reader->problem_count == PROBLEMS_KEPT)
        return;
    va_list ap;
    va_start(ap, fmt);
    char text[1024];
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    SB_GROW(reader->problems, reader->problem_count, reader->problem_cap);
    reader->problems[reader->problem_count] = (struct sb_problem){
        node ? node->line : 1, node ? node->column : 1, reader->problem_count, sb_strdup(text)};
    reader->problem_count++;
}

static int compare_problems(const void *a, const void *b) {
    const struct sb_problem *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* As many lines as the message has room for, then how many more there are. */
static void list_problems(const struct sb_reader *reader, struct sb_error *err) {
    sb_autobuf struct sb_buf out = {0};
    size_t room = sizeof err->message - 64, shown = 0;
    for (; shown < reader->problem_count && shown < SB_PROBLEM_LIMIT; shown++) {
        const struct sb_problem *p = &reader->problems[shown];
        size_t before = out.len;
        sb_buf_addf(&out, "%s%s:%d:%d: %s", shown ? "\n" : "", reader->file, p->line, p->column,
                    p->text);
        if (out.len > room && shown) {
            out.len = before;
            out.data[before] = '\0';
            break;
        }
    }
    if (shown < reader->problem_total)
        sb_buf_addf(&out, "\n%s: and %zu more", reader->file, reader->problem_total - shown);
    sb_fail(err, SB_E_RECIPE, "%s", sb_buf_text(&out));
}

int sb_reader_finish(struct sb_reader *reader, struct sb_error *err) {
    if (reader->problem_count)
        qsort(reader->problems, reader->problem_count, sizeof *reader->problems, compare_problems);
    bool failed = reader->problem_total > 0;
    if (failed && err)
        list_problems(reader, err);
    for (size_t i = 0; i < reader->problem_count; i++)
        free(reader->problems[i].text);
    free(reader->problems);
    reader->problems = NULL;
    reader->problem_count = reader->problem_cap = reader->problem_total = 0;
    return failed ? -1 : 0;
}

/* ---- mappings ---- */

static const struct sb_key *find_key(const struct sb_key *keys, const char *name) {
    for (; keys->name; keys++)
        if (!strcmp(keys->name, name))
            return keys;
    return NULL;
}

static const struct sb_key *find_shorthand(const struct sb_key *keys) {
    for (; keys->name; keys++)
        if (keys->shorthand)
            return keys;
    return NULL;
}

void sb_schema_unknown(struct sb_reader *reader, const struct sb_yaml *key, const char *where,
                       const char *const *candidates) {
    if (reader->problem_count == PROBLEMS_KEPT) {
        reader->problem_total++;
        return;
    }
    if (reader->beside && !strcmp(where, reader->inside) && find_key(reader->beside, key->text)) {
        sb_reader_problem(reader, key, "key %s: stands beside %s, not in it",
                          sb_text_shown(key->text).text, where);
        return;
    }
    const char *nearest = sb_text_nearest(key->text, candidates);
    if (nearest) {
        sb_reader_problem(reader, key, "key %s: unknown key in %s (did you mean \"%s\"?)",
                          sb_text_shown(key->text).text, where, nearest);
        return;
    }
    if (reader->listed && !strcmp(reader->listed, where)) { /* once is enough */
        sb_reader_problem(reader, key, "key %s: unknown key in %s", sb_text_shown(key->text).text,
                          where);
        return;
    }
    reader->listed = where;
    sb_autobuf struct sb_buf list = {0};
    for (size_t i = 0; candidates[i]; i++)
        sb_buf_addf(&list, "%s%s", i ? ", " : "", candidates[i]);
    sb_reader_problem(reader, key, "key %s: unknown key in %s (expected one of %s)",
                      sb_text_shown(key->text).text, where, sb_buf_text(&list));
}

static void report_unknown(struct sb_reader *reader, const struct sb_key *keys, const char *where,
                           const struct sb_yaml *key) {
    const char *names[64];
    size_t n = 0;
    for (; keys->name && n < 63; keys++)
        names[n++] = keys->name;
    names[n] = NULL;
    sb_schema_unknown(reader, key, where, names);
}

/* Its value isn't even looked at. */
static void report_project(struct sb_reader *reader, const struct sb_yaml *name) {
    reader->said_too_much = true;
    sb_reader_problem(reader, name,
                      "key \"%s\": not for a project to say (expected in your own settings only)",
                      name->text);
}

static void read_mapping(struct sb_reader *reader, const struct sb_key *keys, const char *where,
                         const struct sb_yaml *node, void *target) {
    for (size_t i = 0; i < node->count; i++) {
        const struct sb_yaml *name = node->items[2 * i];
        const struct sb_key *key = find_key(keys, name->text);
        if (key && reader->of_project && !key->project && key->type != SB_KEY_MAPPING)
            report_project(reader, name);
        else if (key)
            sb_schema_read_key(reader, key, node->items[2 * i + 1], target);
        else
            report_unknown(reader, keys, where, name);
    }
    for (const struct sb_key *key = keys; key->name; key++)
        if (key->required && !sb_yaml_get(node, key->name))
            sb_reader_problem(reader, node, "key \"%s\": missing in %s", key->name, where);
}

void sb_schema_read(struct sb_reader *reader, const struct sb_key *keys, const char *where,
                    const struct sb_yaml *node, void *target) {
    const struct sb_key *shorthand = find_shorthand(keys);
    if (node->type == SB_YAML_MAPPING) {
        read_mapping(reader, keys, where, node, target);
    } else if (shorthand) {
        struct sb_key key = *shorthand;
        key.name = where;
        sb_schema_read_key(reader, &key, node, target);
    } else {
        sb_reader_problem(reader, node, "key \"%s\": expected a mapping, found %s", where,
                          sb_yaml_type_name(node));
    }
}

void sb_schema_read_each(struct sb_reader *reader, const struct sb_key *key,
                         const struct sb_yaml *node, size_t most, sb_schema_read_one *read,
                         void *target) {
    bool many = node->type == SB_YAML_SEQUENCE;
    if (many && node->count > most) {
        sb_reader_problem(reader, node, "key \"%s\": expected at most %zu, found %zu", key->name,
                          most, node->count);
        return;
    }
    for (size_t i = 0; many && i < node->count; i++)
        read(reader, node->items[i], target);
    if (!many)
        read(reader, node, target);
}

void sb_schema_free(const struct sb_key *keys, void *target) {
    for (const struct sb_key *key = keys; key->name; key++) {
        void *member = (char *)target + key->offset;
        if (key->type == SB_KEY_STRING) {
            free(*(char **)member);
            *(char **)member = NULL;
        } else if (key->type == SB_KEY_STRINGS) {
            sb_strings_free(member);
        } else if (key->type == SB_KEY_PAIRS) {
            sb_pairs_free(member);
        } else if (key->type == SB_KEY_MAPPING) {
            sb_schema_free(key->keys, target);
        }
    }
}
