#include "steps/shadows.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/arena.h"
#include "base/memory.h"
#include "base/tree.h"
#include "layers/contents.h"

struct name {
    const char *path;
    int64_t mtime;
    bool regular;
};

/* What one layer has, sorted by path. */
struct listing {
    struct name *v;
    size_t n, cap;
    struct sb_arena arena;        /* of the paths, or */
    struct sb_contents *contents; /* whose they are */
};

bool sb_shadows_layer(const char *tree, struct sb_digest *out) {
    static const char before[] = "/sbuild/trees/", after[] = "/fs";
    size_t n = strlen(tree), tail = 64 + strlen(after), head = strlen(before);
    if (n < head + tail || strcmp(tree + n - strlen(after), after) != 0 ||
        strncmp(tree + n - tail - head, before, head) != 0)
        return false;
    char hex[65] = {0};
    memcpy(hex, tree + n - tail, 64);
    return sb_digest_parse_hex(hex, out);
}

/* ---- listing ---- */

static void add(struct listing *l, const char *path, int64_t mtime, bool regular) {
    SB_GROW(l->v, l->n, l->cap);
    l->v[l->n++] = (struct name){path, mtime, regular};
}

static void list_contents(struct listing *l) {
    size_t n = sb_contents_count(l->contents);
    for (size_t i = 0; i < n; i++) {
        struct sb_entry e;
        sb_contents_get(l->contents, i, &e);
        add(l, e.path, e.mtime, S_ISREG(e.mode));
    }
}

static int list_entry(void *self, const struct sb_tree_entry *e, struct sb_error *err) {
    struct listing *l = self;
    struct stat st;
    (void)err;
    if (fstatat(e->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        add(l, sb_arena_strdup(&l->arena, e->path), st.st_mtim.tv_sec, S_ISREG(st.st_mode));
    return 0;
}

static int by_path(const void *a, const void *b) {
    const struct name *x = a, *y = b;
    return strcmp(x->path, y->path);
}

/* A layer that is still being packed has no table yet. */
static int list(struct sb_store *store, const char *tree, struct listing *l, struct sb_error *err) {
    struct sb_digest diff_id;
    if (sb_shadows_layer(tree, &diff_id) &&
        sb_contents_open(store, &diff_id, &l->contents, NULL) == 0) {
        list_contents(l);
        return 0;
    }
    if (sb_tree_walk(AT_FDCWD, tree, list_entry, NULL, l, err) < 0)
        return -1;
    if (l->n > 1)
        qsort(l->v, l->n, sizeof *l->v, by_path);
    return 0;
}

static void free_listing(struct listing *l) {
    sb_contents_close(l->contents);
    sb_arena_free(&l->arena);
    free(l->v);
}

/* ---- comparing ---- */

/* The first name from `from` on that does not come before path: in steps that double, as layers
 * mostly have whole directories to themselves. */
static size_t skip_to(const struct listing *l, size_t from, const char *path) {
    size_t step = 1, low = from;
    while (low + step < l->n && strcmp(l->v[low + step].path, path) < 0) {
        low += step;
        step *= 2;
    }
    size_t high = low + step < l->n ? low + step : l->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(l->v[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void compare(const struct listing *upper, const struct listing *lower, int64_t epoch,
                    struct sb_strings *out) {
    for (size_t i = 0, k = 0; i < upper->n && k < lower->n;) {
        const struct name *x = &upper->v[i], *y = &lower->v[k];
        int order = strcmp(x->path, y->path);
        if (order < 0) {
            i = skip_to(upper, i, y->path);
        } else if (order > 0) {
            k = skip_to(lower, k, x->path);
        } else {
            if (x->regular && y->regular && x->mtime == epoch)
                sb_strings_add(out, x->path);
            i++;
            k++;
        }
    }
}

static int64_t newest_of(const struct listing *l, int64_t newest, int64_t now) {
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].regular && l->v[i].mtime > newest && l->v[i].mtime < now)
            newest = l->v[i].mtime;
    return newest;
}

static void drop_repeated(struct sb_strings *list) {
    size_t kept = 0;
    sb_strings_sort(list);
    for (size_t i = 0; i < list->n; i++) {
        if (kept > 0 && !strcmp(list->v[kept - 1], list->v[i]))
            free(list->v[i]);
        else
            list->v[kept++] = list->v[i];
    }
    list->n = kept;
}

int sb_shadows_find(struct sb_store *store, const struct sb_strings *trees, int64_t epoch,
                    struct sb_shadows *out, struct sb_error *err) {
    *out = (struct sb_shadows){.newest = epoch};
    struct listing *all = sb_alloc((trees->n + 1) * sizeof *all);
    int failed = 0;
    int64_t now = time(NULL);
    for (size_t i = 0; i < trees->n && !failed; i++)
        failed = list(store, trees->v[i], &all[i], err);
    for (size_t i = 0; i < trees->n && !failed; i++) {
        out->newest = newest_of(&all[i], out->newest, now);
        for (size_t k = 0; k < i; k++)
            compare(&all[i], &all[k], epoch, &out->paths);
    }
    drop_repeated(&out->paths);
    for (size_t i = 0; i < trees->n; i++)
        free_listing(&all[i]);
    free(all);
    return failed;
}

void sb_shadows_free(struct sb_shadows *shadows) {
    sb_strings_free(&shadows->paths);
    *shadows = (struct sb_shadows){0};
}
