#include "http/scope.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* The length of "type:name" in "type:name:actions": names may hold colons themselves. All of it
 * for something that has no actions. */
static size_t resource_length(const char *entry) {
    const char *first = strchr(entry, ':'), *last = strrchr(entry, ':');
    return first && last != first ? (size_t)(last - entry) : strlen(entry);
}

static bool same_resource(const char *a, const char *b) {
    size_t n = resource_length(a);
    return n == resource_length(b) && !memcmp(a, b, n);
}

static const char *actions(const char *entry) {
    const char *rest = entry + resource_length(entry);
    return *rest ? rest + 1 : rest;
}

static void add_actions(struct sb_strings *to, const char *text) {
    sb_autofree char *copy = sb_strdup(text);
    char *rest = copy;
    for (char *action; (action = strsep(&rest, ","));)
        if (*action && !sb_strings_has(to, action))
            sb_strings_add(to, action);
}

/* Is every action of b one of a, or has a "*"? */
static bool actions_cover(const char *a, const char *b) {
    sb_autostrings struct sb_strings have = {0}, wanted = {0};
    add_actions(&have, a);
    add_actions(&wanted, b);
    if (sb_strings_has(&have, "*"))
        return true;
    for (size_t i = 0; i < wanted.n; i++)
        if (!sb_strings_has(&have, wanted.v[i]))
            return false;
    return true;
}

/* "type:name:" and the actions of both, sorted. */
static char *join_entries(const char *a, const char *b) {
    sb_autostrings struct sb_strings all = {0};
    add_actions(&all, actions(a));
    add_actions(&all, actions(b));
    sb_strings_sort(&all);
    struct sb_buf text = {0};
    sb_buf_add(&text, a, resource_length(a));
    if (all.n == 0 && a[text.len]) /* without actions: a name may hold colons, so keep the last */
        sb_buf_addc(&text, ':');
    for (size_t i = 0; i < all.n; i++) {
        sb_buf_addc(&text, i ? ',' : ':');
        sb_buf_adds(&text, all.v[i]);
    }
    return sb_buf_steal(&text);
}

static void add_entry(struct sb_scopes *scopes, const char *entry) {
    struct sb_strings *list = &scopes->list;
    for (size_t i = 0; i < list->n; i++) {
        if (!same_resource(list->v[i], entry))
            continue;
        char *joined = join_entries(list->v[i], entry);
        free(list->v[i]);
        list->v[i] = joined;
        return;
    }
    if (list->n < SB_SCOPE_LIMIT)
        sb_strings_take(list, join_entries(entry, entry));
}

void sb_scopes_add(struct sb_scopes *scopes, const char *text) {
    if (!text)
        return;
    sb_autofree char *copy = sb_strdup(text);
    char *rest = copy;
    for (char *entry; (entry = strsep(&rest, " \t"));)
        if (*entry)
            add_entry(scopes, entry);
    sb_strings_sort(&scopes->list);
}

void sb_scopes_join(struct sb_scopes *to, const struct sb_scopes *from) {
    for (size_t i = 0; i < from->list.n; i++)
        add_entry(to, from->list.v[i]);
    sb_strings_sort(&to->list);
}

static const char *find_resource(const struct sb_scopes *scopes, const char *entry) {
    for (size_t i = 0; i < scopes->list.n; i++)
        if (same_resource(scopes->list.v[i], entry))
            return scopes->list.v[i];
    return NULL;
}

bool sb_scopes_cover(const struct sb_scopes *scopes, const struct sb_scopes *other) {
    for (size_t i = 0; i < other->list.n; i++) {
        const char *have = find_resource(scopes, other->list.v[i]);
        if (!have || !actions_cover(actions(have), actions(other->list.v[i])))
            return false;
    }
    return true;
}

bool sb_scopes_touch(const struct sb_scopes *scopes, const struct sb_scopes *other) {
    for (size_t i = 0; i < other->list.n; i++)
        if (find_resource(scopes, other->list.v[i]))
            return true;
    return false;
}

void sb_scopes_free(struct sb_scopes *scopes) {
    sb_strings_free(&scopes->list);
}

char *sb_scope_repository(const char *text) {
    static const char prefix[] = "repository:";
    const char *start = text ? strstr(text, prefix) : NULL;
    if (!start || (start != text && start[-1] != ' '))
        return sb_strdup("");
    start += sizeof prefix - 1;
    size_t n = strcspn(start, " ");
    sb_autofree char *entry = sb_strndup(start, n);
    char *colon = strrchr(entry, ':');
    return colon ? sb_strndup(entry, (size_t)(colon - entry)) : sb_steal(entry);
}
