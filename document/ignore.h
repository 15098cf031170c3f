/*
 * document/ignore: patterns as in .dockerignore.
 *
 * The last pattern that matches a path decides; "!" takes back. What was decided of a directory
 * holds for all below it, until a pattern that matches there says otherwise: exactly as Docker
 * walks a context, down to its corners (see the tests).
 * "*" and "?" stop at "/", "**" does not, "[a-z]" is a class, a backslash takes the next character
 * as it is. Leading and trailing slashes mean nothing: a pattern is always anchored at the root.
 * Patterns are foreign bytes: matching takes at most length of pattern times length of path, and of
 * a long list only those patterns are asked that have a beginning or an end of the path.
 */
#ifndef SB_DOCUMENT_IGNORE_H
#define SB_DOCUMENT_IGNORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

struct sb_ignore;

/* From the text of an ignore file; origin names it in messages. Comments (# in the first column),
 * blank lines and a BOM are skipped. A malformed pattern is SB_E_RECIPE with its line. */
int sb_ignore_parse(const char *text, size_t len, const char *origin, struct sb_ignore **out,
                    struct sb_error *err);
/* From patterns of a recipe, which were checked there (sb_rule_pattern). */
struct sb_ignore *sb_ignore_from(const struct sb_strings *patterns);
void sb_ignore_free(struct sb_ignore *ignore); /* NULL is allowed */

/* Whether a pattern is well-formed ("[" closed, no lone backslash at the end, …). */
bool sb_ignore_valid(const char *pattern);

/* path is relative, clean, without a leading "/". Patterns make no difference between files and
 * directories; the parameter is there for callers that walk. */
bool sb_ignore_excluded(const struct sb_ignore *ignore, const char *path, bool is_directory);

/* False when no "!" pattern could match anything below an excluded directory: a walk may skip it
 * whole. */
bool sb_ignore_may_reinclude_below(const struct sb_ignore *ignore, const char *directory);
/* The same of the other patterns: false when none could match anything below a directory that none
 * matches. */
bool sb_ignore_may_exclude_below(const struct sb_ignore *ignore, const char *directory);

/* Whether one of its patterns, of those with "!" or of the others, has the name as a part of its
 * path, be it that wildcards follow its first characters: whoever wrote it thought of that file. */
bool sb_ignore_mentions(const struct sb_ignore *ignore, const char *name, bool takes_back);

#endif
