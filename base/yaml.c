#include "base/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/arena.h"
#include "base/memory.h"
#include "base/text.h"

enum { ANCHOR_LIMIT = 256, SMALL_MAPPING = 12 };

struct sb_yaml_document {
    struct sb_arena arena;
    const struct sb_yaml *root;
};

struct parser {
    yaml_parser_t yaml;
    const char *file, *text; /* text and len are the whole input */
    size_t len;
    struct sb_arena *arena;
    struct anchor {
        const char *name;
        const struct sb_yaml *node;
    } anchors[ANCHOR_LIMIT];
    size_t anchor_count;
    struct sb_error *err;
};

#define fail_at(p, line, column, ...) fail_at_(p, (int)(line), (int)(column), __VA_ARGS__)

__attribute__((format(printf, 4, 5))) static int fail_at_(struct parser *p, int line, int column,
                                                          const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char message[512];
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    return sb_fail(p->err, SB_E_RECIPE, "%s:%d:%d: %s", p->file, line, column, message);
}

#define fail_mark(p, mark, ...) fail_at(p, (mark).line + 1, (mark).column + 1, __VA_ARGS__)
#define fail_node(p, node, ...) fail_at(p, (node)->line, (node)->column, __VA_ARGS__)

/* ---- the bytes ---- */

/* NUL bytes and what is not UTF-8 are found before libyaml sees them: its messages have no place
 * for those. */
static int check_bytes(struct parser *p) {
    const char *nul = memchr(p->text, '\0', p->len);
    size_t line = 1;
    for (const char *at = p->text; at < p->text + p->len; line++) {
        const char *newline = memchr(at, '\n', (size_t)(p->text + p->len - at));
        const char *end = newline ? newline : p->text + p->len;
        if (nul && nul < end)
            return fail_at(p, line, nul - at + 1, "a NUL byte: this is no YAML text");
        for (const char *c = at; c < end; c++) {
            if ((unsigned char)*c < 0x80)
                continue;
            sb_autofree char *rest = sb_strndup(c, (size_t)(end - c));
            if (!sb_text_is_utf8(rest))
                return fail_at(p, line, c - at + 1,
                               "bytes that are not UTF-8 (expected a text file in UTF-8)");
            break;
        }
        at = newline ? newline + 1 : end;
    }
    return 0;
}

/* Where libyaml stopped, in our words where its own don't help. */
static int fail_syntax(struct parser *p) {
    const yaml_parser_t *y = &p->yaml;
    const char *problem = y->problem ? y->problem : "it can't be read";
    if (y->error == YAML_READER_ERROR) {
        size_t line = 1, column = 1;
        for (size_t i = 0; i < y->problem_offset && i < p->len; i++) {
            column = p->text[i] == '\n' ? 1 : column + 1;
            line += p->text[i] == '\n';
        }
        return fail_at(p, line, column, "not valid YAML: %s", problem);
    }
    yaml_mark_t at = y->problem_mark;
    if (at.index < p->len && p->text[at.index] == '\t')
        return fail_mark(p, at, "a tab character (YAML is indented with spaces)");
    if (strstr(problem, "mapping values are not allowed"))
        return fail_mark(p, at,
                         "not valid YAML: a \": \" that can't begin a mapping here (check the "
                         "indentation; text with it is quoted, or written as a block: |)");
    if (y->context && y->context_mark.line != at.line)
        return fail_mark(p, at, "not valid YAML: %s, %s that starts in line %zu", problem,
                         y->context, y->context_mark.line + 1);
    return fail_mark(p, at, "not valid YAML: %s%s%s", problem, y->context ? ", " : "",
                     y->context ? y->context : "");
}

static int next_event(struct parser *p, yaml_event_t *event) {
    return yaml_parser_parse(&p->yaml, event) ? 0 : fail_syntax(p);
}

/* ---- nodes ---- */

/* Children while their number isn't known yet. */
struct items {
    const struct sb_yaml **v;
    size_t n, cap;
};

static void items_free(struct items *items) {
    free(items->v);
}

static int check_tag(struct parser *p, const yaml_event_t *event, const yaml_char_t *tag,
                     const char *standard) {
    if (!tag || !strcmp((const char *)tag, "!") || !strcmp((const char *)tag, standard))
        return 0;
    return fail_mark(p, event->start_mark, "a tag (!…): tags are not used here; remove it");
}

static struct sb_yaml *new_node(struct parser *p, const yaml_event_t *event,
                                enum sb_yaml_type type) {
    struct sb_yaml *node = sb_arena_alloc(p->arena, sizeof *node);
    *node = (struct sb_yaml){.type = type,
                             .line = (int)event->start_mark.line + 1,
                             .column = (int)event->start_mark.column + 1,
                             .weight_nodes = 1,
                             .text = ""};
    return node;
}

static int add_weight(struct parser *p, struct sb_yaml *node, const struct sb_yaml *child) {
    node->weight_nodes += child->weight_nodes;
    node->weight_text += child->weight_text;
    if (node->weight_nodes > SB_YAML_NODE_LIMIT)
        return fail_node(p, child, "more than %d values (aliases count as what they stand for)",
                         SB_YAML_NODE_LIMIT);
    if (node->weight_text > SB_YAML_TEXT_LIMIT)
        return fail_node(p, child,
                         "more than %u bytes of text (aliases count as what they stand "
                         "for)",
                         SB_YAML_TEXT_LIMIT);
    return 0;
}

static int add_anchor(struct parser *p, const yaml_event_t *event, const yaml_char_t *name,
                      const struct sb_yaml *node) {
    if (!name)
        return 0;
    if (p->anchor_count == ANCHOR_LIMIT)
        return fail_mark(p, event->start_mark, "more than %d anchors", ANCHOR_LIMIT);
    p->anchors[p->anchor_count++] =
        (struct anchor){sb_arena_strdup(p->arena, (const char *)name), node};
    return 0;
}

static int parse_alias(struct parser *p, const yaml_event_t *event, const struct sb_yaml **out) {
    const char *name = (const char *)event->data.alias.anchor;
    for (size_t i = p->anchor_count; i-- > 0;) {
        if (!strcmp(p->anchors[i].name, name)) {
            *out = p->anchors[i].node;
            return 0;
        }
    }
    return fail_mark(p, event->start_mark, "alias *%.60s: no anchor &%.60s stands before it", name,
                     name);
}

static int parse_scalar(struct parser *p, const yaml_event_t *event, const struct sb_yaml **out) {
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (check_tag(p, event, event->data.scalar.tag, YAML_STR_TAG) < 0)
        return -1;
    if (memchr(text, '\0', len))
        return fail_mark(p, event->start_mark, "a NUL character in a value");
    struct sb_yaml *node = new_node(p, event, SB_YAML_SCALAR);
    node->text = sb_arena_strndup(p->arena, text, len);
    node->weight_text = (uint32_t)len;
    node->literal = event->data.scalar.style == YAML_LITERAL_SCALAR_STYLE;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.tag;
    *out = node;
    return add_anchor(p, event, event->data.scalar.anchor, node);
}

static int parse_node(struct parser *p, yaml_event_t *event, int depth, const struct sb_yaml **out);

/* Parses up to the event that ends the collection. */
static int parse_items(struct parser *p, struct sb_yaml *node, yaml_event_type_t end, int depth,
                       struct items *items) {
    for (;;) {
        yaml_event_t event;
        if (next_event(p, &event) < 0)
            return -1;
        if (event.type == end) {
            yaml_event_delete(&event);
            return 0;
        }
        const struct sb_yaml *child = NULL;
        int result = parse_node(p, &event, depth + 1, &child);
        if (result == 0 && child)
            result = add_weight(p, node, child);
        yaml_event_delete(&event);
        if (result < 0)
            return -1;
        SB_GROW(items->v, items->n, items->cap);
        items->v[items->n++] = child;
    }
}

static void keep_items(struct parser *p, struct sb_yaml *node, const struct items *items) {
    size_t bytes = items->n * sizeof *items->v;
    node->items = sb_arena_alloc(p->arena, bytes + 1);
    if (bytes)
        memcpy(node->items, items->v, bytes);
}

static int parse_sequence(struct parser *p, const yaml_event_t *event, int depth,
                          const struct sb_yaml **out) {
    __attribute__((cleanup(items_free))) struct items items = {0};
    struct sb_yaml *node = new_node(p, event, SB_YAML_SEQUENCE);
    if (check_tag(p, event, event->data.sequence_start.tag, YAML_SEQ_TAG) < 0 ||
        parse_items(p, node, YAML_SEQUENCE_END_EVENT, depth, &items) < 0)
        return -1;
    keep_items(p, node, &items);
    node->count = items.n;
    *out = node;
    return add_anchor(p, event, event->data.sequence_start.anchor, node);
}

/* ---- mappings ---- */

static int fail_duplicate(struct parser *p, const struct sb_yaml *key,
                          const struct sb_yaml *first) {
    return fail_node(p, key, "key %s: given twice (first in line %d)",
                     sb_text_shown(key->text).text, first->line);
}

static int compare_keys(const void *a, const void *b) {
    const struct sb_yaml *x = *(const struct sb_yaml *const *)a;
    const struct sb_yaml *y = *(const struct sb_yaml *const *)b;
    int order = strcmp(x->text, y->text);
    if (order)
        return order;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return (x->column > y->column) - (x->column < y->column);
}

static int check_duplicates_sorted(struct parser *p, const struct items *items) {
    size_t n = items->n / 2;
    sb_autofree const struct sb_yaml **keys = sb_realloc(NULL, n, sizeof *keys);
    for (size_t i = 0; i < n; i++)
        keys[i] = items->v[2 * i];
    qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(keys[i]->text, keys[i - 1]->text))
            return fail_duplicate(p, keys[i], keys[i - 1]);
    return 0;
}

static int check_duplicates(struct parser *p, const struct items *items) {
    if (items->n / 2 > SMALL_MAPPING)
        return check_duplicates_sorted(p, items);
    for (size_t i = 2; i < items->n; i += 2)
        for (size_t j = 0; j < i; j += 2)
            if (!strcmp(items->v[i]->text, items->v[j]->text))
                return fail_duplicate(p, items->v[i], items->v[j]);
    return 0;
}

static int parse_mapping(struct parser *p, const yaml_event_t *event, int depth,
                         const struct sb_yaml **out) {
    __attribute__((cleanup(items_free))) struct items items = {0};
    struct sb_yaml *node = new_node(p, event, SB_YAML_MAPPING);
    if (check_tag(p, event, event->data.mapping_start.tag, YAML_MAP_TAG) < 0 ||
        parse_items(p, node, YAML_MAPPING_END_EVENT, depth, &items) < 0)
        return -1;
    for (size_t i = 0; i < items.n; i += 2) {
        const struct sb_yaml *key = items.v[i];
        if (key->type != SB_YAML_SCALAR)
            return fail_node(p, key, "%s as a key (expected a name)", sb_yaml_type_name(key));
        if (key->plain && !strcmp(key->text, "<<"))
            return fail_node(p, key,
                             "merge keys (<<) are not used here; refer to a whole value "
                             "with an alias, or write it out");
    }
    if (check_duplicates(p, &items) < 0)
        return -1;
    keep_items(p, node, &items);
    node->count = items.n / 2;
    *out = node;
    return add_anchor(p, event, event->data.mapping_start.anchor, node);
}

static int parse_node(struct parser *p, yaml_event_t *event, int depth,
                      const struct sb_yaml **out) {
    if (depth > SB_YAML_DEPTH_LIMIT)
        return fail_mark(p, event->start_mark, "nested more than %d deep", SB_YAML_DEPTH_LIMIT);
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return parse_alias(p, event, out);
    case YAML_SCALAR_EVENT:
        return parse_scalar(p, event, out);
    case YAML_SEQUENCE_START_EVENT:
        return parse_sequence(p, event, depth, out);
    case YAML_MAPPING_START_EVENT:
        return parse_mapping(p, event, depth, out);
    default:
        return fail_mark(p, event->start_mark, "not valid YAML: a value is missing");
    }
}

/* ---- documents ---- */

static int parse_stream(struct parser *p, const struct sb_yaml **root) {
    for (;;) {
        yaml_event_t event;
        if (next_event(p, &event) < 0)
            return -1;
        int result = 0;
        bool last = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && *root)
            result = fail_mark(p, event.start_mark, "a second document (expected one in a file)");
        else if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_START_EVENT &&
                 event.type != YAML_DOCUMENT_END_EVENT && !last)
            result = parse_node(p, &event, 1, root);
        yaml_event_delete(&event);
        if (result < 0 || last)
            return result;
    }
}

int sb_yaml_parse(const char *text, size_t len, const char *file, struct sb_yaml_document **out,
                  struct sb_error *err) {
    static const struct sb_yaml empty = {.type = SB_YAML_MAPPING, .line = 1, .column = 1};
    if (len >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) {
        text += 3;
        len -= 3;
    }
    struct sb_yaml_document *document = sb_alloc(sizeof *document);
    sb_autofree struct parser *p = sb_alloc(sizeof *p);
    p->file = file;
    p->text = text;
    p->len = len;
    p->arena = &document->arena;
    p->err = err;
    if (check_bytes(p) < 0 || !yaml_parser_initialize(&p->yaml)) {
        sb_yaml_free(document);
        return -1;
    }
    yaml_parser_set_encoding(&p->yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p->yaml, (const unsigned char *)(len ? text : ""), len);
    int result = parse_stream(p, &document->root);
    yaml_parser_delete(&p->yaml);
    if (result < 0) {
        sb_yaml_free(document);
        return -1;
    }
    if (!document->root || sb_yaml_is_null(document->root))
        document->root = &empty;
    *out = document;
    return 0;
}

const struct sb_yaml *sb_yaml_root(const struct sb_yaml_document *document) {
    return document->root;
}

void sb_yaml_free(struct sb_yaml_document *document) {
    if (!document)
        return;
    sb_arena_free(&document->arena);
    free(document);
}

const struct sb_yaml *sb_yaml_get(const struct sb_yaml *node, const char *key) {
    if (node->type != SB_YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < node->count; i++)
        if (!strcmp(node->items[2 * i]->text, key))
            return node->items[2 * i + 1];
    return NULL;
}

bool sb_yaml_is_null(const struct sb_yaml *node) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (node->type != SB_YAML_SCALAR || !node->plain)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(node->text, words[i]))
            return true;
    return false;
}

const char *sb_yaml_type_name(const struct sb_yaml *node) {
    if (node->type == SB_YAML_SEQUENCE)
        return "a list";
    if (node->type == SB_YAML_MAPPING)
        return "a mapping";
    return sb_yaml_is_null(node) ? "nothing" : "a value";
}
