/*
 * document/pattern: one pattern, as .dockerignore has them, compiled; document/ignore makes lists
 * of them, context/context finds what they match.
 *
 *     pattern  = { "*"        anything but "/"
 *                | "?"        one character but "/"
 *                | "**"       anything, up to and with a "/", or nothing; at the end: anything
 *                | "**" "/"   the same
 *                | "[" [ "^" ] { char | char "-" char } "]"
 *                | "\" char   the character
 *                | char }
 *
 * Matching follows all ways at once (a set of states), so no pattern takes more than its length
 * times that of the path.
 */
#ifndef SB_DOCUMENT_PATTERN_H
#define SB_DOCUMENT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#define SB_PATTERN_LIMIT 4096 /* bytes, as of a path */

struct sb_pattern;

/* Whether a path is more than its text: "*", "?", "[" or a backslash is in it. */
bool sb_pattern_has_wildcard(const char *text);
/* NULL when text is malformed; *problem then says how. text is clean and relative. */
struct sb_pattern *sb_pattern_compile(const char *text, const char **problem);
void sb_pattern_free(struct sb_pattern *pattern);

/* The text with its classes taken as they are written: "app/[id]/x" is what a directory of that
 * name needs. NULL when it has none; else the caller's. */
char *sb_pattern_without_classes(const char *text);

/* Whether it matches the path; with parents, or a directory that leads to it. */
bool sb_pattern_match(const struct sb_pattern *pattern, const char *path, size_t len, bool parents);
/* Whether it might match something below a directory. */
bool sb_pattern_reaches(const struct sb_pattern *pattern, const char *directory, size_t len);

/* The literal bytes that whatever it matches begins with, and ends in; they belong to the pattern,
 * and may be none. */
const char *sb_pattern_head(const struct sb_pattern *pattern, size_t *out_len);
const char *sb_pattern_tail(const struct sb_pattern *pattern, size_t *out_len);

#endif
