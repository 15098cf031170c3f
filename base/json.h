/*
 * base/json: what sbuild needs around jansson (https://jansson.readthedocs.io).
 *
 * Values are jansson's json_t; sb_autojson drops the reference at the end of a scope.
 */
#ifndef SB_BASE_JSON_H
#define SB_BASE_JSON_H

#include <jansson.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"

void sb_json_drop(json_t **value);
#define sb_autojson __attribute__((cleanup(sb_json_drop), unused))

/* Values of a document may take that much memory; 50,000 tags in an index.json take half of it. */
#define SB_JSON_MEMORY_LIMIT (256u << 20)

/* Parses bytes; refuses duplicate keys, trailing text, and what would take more memory than that. A
 * new reference, or NULL and err (SB_E_FAILED, with line and column). */
json_t *sb_json_parse(const char *text, size_t len, struct sb_error *err);

/* Compact, keys in the order they were set; bytes as they go into a blob. */
void sb_json_write(const json_t *value, struct sb_buf *out);
/* Compact, keys sorted: the form that cache keys are computed over. */
void sb_json_write_canonical(const json_t *value, struct sb_buf *out);
/* Indented, for people; ends in a newline. */
void sb_json_write_pretty(const json_t *value, struct sb_buf *out);

struct sb_digest sb_json_digest_canonical(const json_t *value);

/* Fallback when the key is missing or of another type. Strings stay the value's own. */
const char *sb_json_string(const json_t *object, const char *key, const char *fallback);
json_int_t sb_json_integer(const json_t *object, const char *key, json_int_t fallback);

/* The i-th element of the list at a key; where there is no such key, and i is 0, the value at only:
 * of formats in which one stood where several may stand now. NULL: there is none. */
json_t *sb_json_nth(const json_t *object, const char *list, const char *only, size_t i);

/* A JSON string from bytes that may not be UTF-8 (file names): such bytes become %XX, and "%"
 * becomes "%25", so that different names stay different. */
json_t *sb_json_from_bytes(const char *bytes);
/* A JSON string of text for people (messages, what programs printed): it stays as it is, but for
 * bytes that are no UTF-8, each of which becomes U+FFFD. */
json_t *sb_json_from_text(const char *text);

/* Appends the texts of an array; "" for what is none. NULL is no array. */
void sb_json_strings(const json_t *array, struct sb_strings *out);

#endif
