/*
 * http/scope: what a token is for: "repository:team/app:pull,push" and others, several separated by
 * blanks (distribution, "Token Scope Documentation").
 */
#ifndef SB_HTTP_SCOPE_H
#define SB_HTTP_SCOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

#define SB_SCOPE_LIMIT 64 /* entries in a set; more are left out */

/* Entries like "repository:team/app:pull,push", one for each resource, sorted, the actions of each
 * sorted too: equal sets have equal text. */
struct sb_scopes {
    struct sb_strings list;
};

/* Adds all of a text (NULL: nothing), joining the actions of a resource that is there already. */
void sb_scopes_add(struct sb_scopes *scopes, const char *text);
void sb_scopes_join(struct sb_scopes *to, const struct sb_scopes *from);
/* Does it hold every action of every resource of other? */
bool sb_scopes_cover(const struct sb_scopes *scopes, const struct sb_scopes *other);
/* Does any resource appear in both? */
bool sb_scopes_touch(const struct sb_scopes *scopes, const struct sb_scopes *other);
void sb_scopes_free(struct sb_scopes *scopes);

/* Of a text: the first repository's name, or "". The caller's to free. */
char *sb_scope_repository(const char *text);

#define sb_autoscopes __attribute__((cleanup(sb_scopes_free), unused))

#endif
