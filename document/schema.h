/*
 * document/schema: YAML files read by tables of keys.
 *
 * A table says for each key its type, where its value goes, what is allowed, and what it means. One
 * reader fills structs from such tables and collects every mistake of the file; one writer makes
 * JSON Schema of the same tables, so that editors and the parser can't disagree.
 *
 *     static const struct sb_key keys[] = {
 *         {"port", SB_KEY_INTEGER, offsetof(struct sb_service, port), .least = 1, .most = 65535,
 *          .description = "Port that the service listens on."},
 *         {0},
 *     };
 *     struct sb_reader reader = {.file = path, .args = &recipe->args};
 *     sb_schema_read(&reader, keys, "service", node, &recipe->service);
 *     if (sb_reader_finish(&reader, err) < 0) …
 *
 * A list of SB_KEY_STRINGS or SB_KEY_PAIRS is filled, never replaced: targets start zeroed.
 */
#ifndef SB_DOCUMENT_SCHEMA_H
#define SB_DOCUMENT_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/yaml.h"
#include "document/pairs.h"
#include "document/rules.h"

#define SB_PROBLEM_LIMIT 50 /* of a file that are listed before "and N more" */

struct sb_reader;

enum sb_key_type {
    SB_KEY_STRING = 1, /* char *: any scalar, as it is written ("1.10" stays) */
    SB_KEY_BOOL,       /* bool: true or false */
    SB_KEY_INTEGER,    /* int64_t */
    SB_KEY_SIZE,       /* uint64_t of bytes: 8G, 512Mi */
    SB_KEY_DURATION,   /* uint64_t of seconds: 60s, 1h30m */
    SB_KEY_CHOICE,     /* an enum: the index in values */
    SB_KEY_FLAGS,      /* unsigned: a list; the bit of each index in values */
    SB_KEY_MODE,       /* int32_t: "0644", always octal */
    SB_KEY_OWNER,      /* uint32_t uid, gid in a row: "1000:1000" */
    SB_KEY_STRINGS,    /* struct sb_strings: a list of scalars */
    SB_KEY_PAIRS,      /* struct sb_pairs: a mapping of names to scalars */
    SB_KEY_MAPPING,    /* nested keys, whose offsets count from the same target */
    SB_KEY_CUSTOM,     /* read and schema do it */
};

struct sb_key {
    const char *name;
    enum sb_key_type type;
    size_t offset;              /* of the member in the target */
    const char *description;    /* a sentence for the schema and the docs */
    const char *fallback;       /* the default, for people; NULL: none to name */
    const char *const *values;  /* all that is allowed, ends in NULL; NULL: anything */
    const struct sb_rule *rule; /* of a string, of each in a list, of each name of pairs */
    const struct sb_key *keys;  /* SB_KEY_MAPPING */
    size_t given;               /* offset of a bool set when the key is there; 0: none */
    int64_t least, most;        /* SB_KEY_INTEGER; SB_KEY_DURATION: seconds, 0: any; lists and
                                   pairs: most items, 0: any */
    bool required;
    bool literal;     /* ${NAME} is not replaced */
    bool variables;   /* SB_KEY_PAIRS: values may name environment variables, too, as $NAME or
                         ${NAME}: they are kept as templates (document/environment.h) */
    bool one_or_many; /* SB_KEY_STRINGS: a string stands for a list of one */
    bool not_empty;   /* SB_KEY_STRINGS: at least one; SB_KEY_STRING: not "" */
    bool project;     /* settings: a project may say it, too, as it can't harm who builds */
    bool shorthand;   /* a value of the whole that is no mapping stands for this key alone */
    void (*read)(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                 void *target);
    json_t *(*schema)(const struct sb_key *key); /* a new reference */
};

/* One file being read. Start from {.file = …}; end with sb_reader_finish. */
struct sb_reader {
    const char *file;
    const struct sb_pairs *args;  /* for ${NAME} in values; NULL: values are taken as they are */
    struct sb_strings *args_used; /* gets the names that were used; may be NULL */
    struct sb_problem {
        int line, column;
        size_t order;
        char *text;
    } * problems;
    size_t problem_count, problem_cap;
    size_t problem_total;        /* with those that were too many to keep */
    bool of_project;             /* keys that a project may not say are mistakes */
    bool said_too_much;          /* there were such */
    const struct sb_key *beside; /* what may stand beside inside, not in it; may be NULL */
    const char *inside;          /* a mapping, as it is called in messages */
    const char *listed;          /* the mapping whose keys were last listed */
    size_t replaced_bytes;       /* made of ${NAME} so far: bounded */
};

/* Fills target by a table of keys from a mapping (or from the shorthand's value). where names the
 * mapping in messages ("service"). */
void sb_schema_read(struct sb_reader *reader, const struct sb_key *keys, const char *where,
                    const struct sb_yaml *node, void *target);
/* The same for the value of one key. */
void sb_schema_read_key(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *target);
/* A scalar as text with ${NAME} replaced: the caller's; NULL when that was reported as a problem.
 * key names it in messages. */
char *sb_schema_text(struct sb_reader *reader, const struct sb_key *key,
                     const struct sb_yaml *node);
/* Checks text against a rule and reports what is wrong; true when it is fine. name is the key's. */
bool sb_schema_check(struct sb_reader *reader, const char *name, const struct sb_rule *rule,
                     const char *text, const struct sb_yaml *node);
/* For a custom key: a value, or a list of at most that many; read is called for each. */
typedef void sb_schema_read_one(struct sb_reader *reader, const struct sb_yaml *node, void *target);
void sb_schema_read_each(struct sb_reader *reader, const struct sb_key *key,
                         const struct sb_yaml *node, size_t most, sb_schema_read_one *read,
                         void *target);
/* Reports an unknown key with the nearest of the candidates (ending in NULL). */
void sb_schema_unknown(struct sb_reader *reader, const struct sb_yaml *key, const char *where,
                       const char *const *candidates);

/* Frees the strings, lists and pairs that a table's keys filled; custom keys are left alone. */
void sb_schema_free(const struct sb_key *keys, void *target);

/* Notes a mistake at a node. */
void sb_reader_problem(struct sb_reader *reader, const struct sb_yaml *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* 0, or -1 and SB_E_RECIPE with a line for each problem, by place. Frees what the reader holds. */
int sb_reader_finish(struct sb_reader *reader, struct sb_error *err);

/* JSON Schema (2020-12) of a table: an object without further properties, or the shorthand. A new
 * reference. Refers to "#/$defs/substituted" for values with ${NAME}. */
json_t *sb_schema_of_keys(const struct sb_key *keys);
json_t *sb_schema_of_key(const struct sb_key *key);

/* Of what sb_schema_read_each reads; takes over the schema of one. */
json_t *sb_schema_one_or_many(json_t *one, size_t most);

/* The schema of recipes, as recipes/schema.json holds it. A new reference. */
json_t *sb_schema_json(void);

#endif
