#include "layers/xattr_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "layers/attributes.h"

void sb_xattr_set_free(struct sb_xattr_set *set) {
    for (size_t i = 0; i < set->n; i++)
        sb_entry_free(&set->v[i]);
    free(set->v);
    sb_map_free(&set->paths);
    *set = (struct sb_xattr_set){0};
}

static const struct sb_entry *find(const struct sb_xattr_set *set, const char *path) {
    const uint64_t *at = set->n ? sb_map_find(&set->paths, path) : NULL;
    return at && *at ? &set->v[*at - 1] : NULL;
}

/* A user can't set these: what is made of an image would depend on who makes it. */
static bool is_roots(const struct sb_xattr *xattr) {
    return !strncmp(xattr->name, "trusted.", strlen("trusted."));
}

/* The caller's; those that count. */
static struct sb_xattr *choose(const struct sb_entry *entry, size_t *out_count) {
    struct sb_xattr *chosen = sb_alloc((entry->xattr_count + 1) * sizeof *chosen);
    *out_count = 0;
    for (size_t i = 0; i < entry->xattr_count; i++)
        if (!is_roots(&entry->xattrs[i]))
            chosen[(*out_count)++] = entry->xattrs[i];
    return chosen;
}

int sb_xattr_set_put(struct sb_xattr_set *set, const struct sb_entry *entry, struct sb_error *err) {
    struct sb_entry kept = *entry;
    const struct sb_entry *same = entry->hard_link ? find(set, entry->link) : NULL;
    sb_autofree struct sb_xattr *chosen = choose(same ? same : entry, &kept.xattr_count);
    kept.xattrs = chosen;
    kept.link = NULL;
    if (kept.xattr_count == 0) { /* as most have none */
        uint64_t *at = set->n ? sb_map_find(&set->paths, entry->path) : NULL;
        if (at)
            *at = 0;
        return 0;
    }
    if (sb_names_count(&set->bytes, &kept, "the image", err) < 0)
        return -1;
    SB_GROW(set->v, set->n, set->cap);
    sb_entry_copy(&set->v[set->n++], &kept);
    *sb_map_put(&set->paths, entry->path) = set->n;
    return 0;
}

void sb_xattr_set_give(const struct sb_xattr_set *set, struct sb_entry *entry) {
    const struct sb_entry *found = find(set, entry->path);
    if (!found)
        return;
    entry->xattrs = found->xattrs;
    entry->xattr_count = found->xattr_count;
}
