#include "layers/through.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

#define LINK_LIMIT 40 /* as Linux */

void sb_through_free(struct sb_through *t) {
    sb_map_free(&t->links);
    sb_strings_free(&t->targets);
    sb_buf_free(&t->parent);
    sb_buf_free(&t->real);
}

static const char *target_of(const struct sb_through *t, const struct sb_buf *path) {
    const uint64_t *link = path->len > 0 ? sb_map_find_n(&t->links, path->data, path->len) : NULL;
    return link && *link ? t->targets.v[*link - 1] : NULL;
}

static void go_up(struct sb_buf *path) {
    while (path->len > 0 && path->data[path->len - 1] != '/')
        path->len--;
    path->len -= path->len > 0;
    if (path->data)
        path->data[path->len] = '\0';
}

static void go_down(struct sb_buf *path, const char *name, size_t len) {
    if (path->len > 0)
        sb_buf_addc(path, '/');
    sb_buf_add(path, name, len);
}

/* The directory that text leads to, from the layer's root; into out. */
static int walk(const struct sb_through *t, const char *text, struct sb_buf *out,
                struct sb_error *err) {
    sb_autofree char *rest = sb_strdup(text);
    int links = 0;
    sb_buf_reset(out);
    for (const char *p = rest; *p;) {
        size_t n = strcspn(p, "/");
        const char *after = p + n + strspn(p + n, "/");
        if (n == 2 && !memcmp(p, "..", 2))
            go_up(out);
        else if (n > 0 && !(n == 1 && *p == '.'))
            go_down(out, p, n);
        const char *target = n > 0 && *p != '.' ? target_of(t, out) : NULL;
        if (out->len > SB_PATH_LIMIT || (target && ++links > LINK_LIMIT))
            return sb_fail(err, SB_E_INTEGRITY, "%.200s: its directory is behind too many symlinks",
                           text);
        if (target) {
            char *joined = sb_format("%s/%s", target, after);
            if (*target == '/')
                sb_buf_reset(out);
            else
                go_up(out);
            free(rest);
            after = rest = joined;
        }
        p = after;
    }
    return 0;
}

int sb_through_resolve(struct sb_through *t, struct sb_buf *path, struct sb_error *err) {
    const char *slash = t->count > 0 ? strrchr(path->data, '/') : NULL;
    if (!slash)
        return 0;
    size_t len = (size_t)(slash - path->data);
    if (!t->known || t->parent.len != len || memcmp(t->parent.data, path->data, len) != 0) {
        sb_buf_reset(&t->parent);
        sb_buf_add(&t->parent, path->data, len);
        t->known = false;
        if (walk(t, t->parent.data, &t->real, err) < 0)
            return -1;
        t->known = true;
    }
    if (t->real.len == len && !memcmp(sb_buf_text(&t->real), path->data, len))
        return 0;
    sb_autofree char *name = sb_strdup(slash + 1);
    sb_buf_reset(path);
    sb_buf_add(path, sb_buf_text(&t->real), t->real.len);
    go_down(path, name, strlen(name));
    return 0;
}

void sb_through_note(struct sb_through *t, const struct sb_entry *entry) {
    bool is_link = S_ISLNK(entry->mode) && !entry->hard_link;
    if (!is_link && t->count == 0)
        return;
    uint64_t *link =
        is_link ? sb_map_put(&t->links, entry->path) : sb_map_find(&t->links, entry->path);
    if (!link || (!is_link && !*link))
        return;
    t->count -= *link != 0;
    *link = 0;
    if (is_link) {
        sb_strings_add(&t->targets, entry->link);
        *link = t->targets.n;
        t->count++;
    }
    t->known = false;
}
