/*
 * base/yaml: a YAML file as a tree of nodes that know their place (libyaml reads it).
 *
 * Scalars stay text: nothing becomes a number, a boolean or a date, so that 1.10 and "no" survive.
 * An alias is the very node it refers to. Hostile input is bounded: depth, number of nodes and
 * bytes, all counted with aliases expanded, so that walking a tree is bounded as well. Refused with
 * a message: several documents, merge keys, tags, duplicate keys, keys that are no scalars, NUL
 * bytes and invalid UTF-8.
 *
 *     struct sb_yaml_document *document;
 *     if (sb_yaml_parse(text, len, path, &document, err) < 0) …
 *     const struct sb_yaml *name = sb_yaml_get(sb_yaml_root(document), "name");
 *     sb_yaml_free(document);
 */
#ifndef SB_BASE_YAML_H
#define SB_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SB_YAML_DEPTH_LIMIT 64
#define SB_YAML_NODE_LIMIT  100000     /* aliases count as what they refer to */
#define SB_YAML_TEXT_LIMIT  (4u << 20) /* bytes of all scalars, likewise */

enum sb_yaml_type {
    SB_YAML_SCALAR,
    SB_YAML_SEQUENCE,
    SB_YAML_MAPPING,
};

struct sb_yaml {
    enum sb_yaml_type type;
    int line, column; /* from 1; columns count characters */
    bool plain;       /* a scalar that is neither quoted nor a block */
    bool literal;     /* a block "|": its lines are the file's, from the one below on */
    const char *text; /* of a scalar; holds no NUL */
    size_t count;     /* of items, or of pairs */
    /* Sequence: the items. Mapping: key, value, key, value, …; keys are scalars. */
    const struct sb_yaml **items;
    uint32_t weight_nodes, weight_text; /* of all below, aliases expanded */
};

struct sb_yaml_document;

/* file is used in messages ("file:line:column: …", SB_E_RECIPE). An empty document has an empty
 * mapping as its root. */
int sb_yaml_parse(const char *text, size_t len, const char *file, struct sb_yaml_document **out,
                  struct sb_error *err);
const struct sb_yaml *sb_yaml_root(const struct sb_yaml_document *document);
void sb_yaml_free(struct sb_yaml_document *document); /* NULL is allowed */

/* The value of a key; NULL when it is missing or the node is no mapping. */
const struct sb_yaml *sb_yaml_get(const struct sb_yaml *node, const char *key);
/* Written without a value: "key:", ~ or null. */
bool sb_yaml_is_null(const struct sb_yaml *node);
/* "a list", "a mapping", "nothing", "a value": for messages. */
const char *sb_yaml_type_name(const struct sb_yaml *node);

#endif
