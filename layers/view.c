#include "layers/view.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/memory.h"
#include "base/process.h"
#include "layers/contents.h"
#include "layers/merge.h"
#include "layers/unpack.h"

#define LINK_LIMIT 8

struct item {
    const char *path;
    uint32_t layer, index; /* IMPLIED: no table has it */
};
#define IMPLIED UINT32_MAX

struct sb_view {
    struct sb_contents **contents;
    size_t layers;
    struct item *v;
    size_t n, cap;
    struct sb_arena arena; /* paths of implied directories */
};

void sb_view_close(struct sb_view *view) {
    if (!view)
        return;
    for (size_t i = 0; i < view->layers; i++)
        if (view->contents[i])
            sb_contents_close(view->contents[i]);
    free(view->contents);
    free(view->v);
    sb_arena_free(&view->arena);
    free(view);
}

static int add_implied(void *self, const char *path, size_t layer, struct sb_error *err) {
    struct sb_view *view = self;
    (void)err;
    SB_GROW(view->v, view->n, view->cap);
    view->v[view->n++] = (struct item){sb_arena_strdup(&view->arena, path),
                                       (uint32_t)(view->layers - layer), IMPLIED};
    return 0;
}

static int compare_items(const void *a, const void *b) {
    return strcmp(((const struct item *)a)->path, ((const struct item *)b)->path);
}

static int list(struct sb_view *view, struct sb_error *err) {
    struct sb_merge *merge = sb_merge_new();
    int failed = 0;
    for (size_t layer = view->layers; layer-- > 0 && !failed;) {
        size_t n = sb_contents_count(view->contents[layer]);
        sb_merge_lower(merge);
        for (size_t i = 0; i < n && !failed; i++) {
            struct sb_entry entry;
            sb_contents_get(view->contents[layer], i, &entry);
            failed = sb_interrupt_check(err) < 0 ? -1 : sb_merge_check(merge, err);
            if (!sb_merge_visit(merge, &entry))
                continue;
            SB_GROW(view->v, view->n, view->cap);
            view->v[view->n++] = (struct item){entry.path, (uint32_t)layer, (uint32_t)i};
        }
    }
    if (!failed)
        failed = sb_merge_implied(merge, add_implied, view, err);
    sb_merge_free(merge);
    if (view->n > 1)
        qsort(view->v, view->n, sizeof *view->v, compare_items);
    return failed;
}

int sb_view_open(struct sb_store *store, const struct sb_image *image, struct sb_view **out,
                 struct sb_error *err) {
    struct sb_view *view = sb_alloc(sizeof *view);
    view->layers = image->layer_count;
    view->contents = sb_alloc((view->layers + 1) * sizeof *view->contents);
    uint64_t names = 0;
    int failed = 0;
    for (size_t i = 0; i < view->layers && !failed; i++) {
        failed = sb_layer_contents(store, &image->layers[i].layer, &view->contents[i], err);
        names += failed ? 0 : sb_contents_names(view->contents[i]);
        if (!failed && names > SB_NAMES_LIMIT)
            failed = sb_names_too_many("the image", err);
    }
    if (failed || list(view, err) < 0) {
        sb_view_close(view);
        return -1;
    }
    *out = view;
    return 0;
}

size_t sb_view_count(const struct sb_view *view) {
    return view->n;
}

void sb_view_get(const struct sb_view *view, size_t index, struct sb_entry *out,
                 size_t *out_layer) {
    const struct item *item = &view->v[index];
    *out_layer = item->layer;
    *out = (struct sb_entry){.path = item->path, .mode = S_IFDIR | 0755};
    if (item->index == IMPLIED)
        return;
    sb_contents_get(view->contents[item->layer], item->index, out);
}

size_t sb_view_seek(const struct sb_view *view, const char *path) {
    size_t low = 0, high = view->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(view->v[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct sb_contents *sb_view_contents(const struct sb_view *view, size_t layer) {
    return view->contents[layer];
}

bool sb_view_resolve(const struct sb_view *view, struct sb_entry *entry, size_t *layer) {
    for (int links = 0; entry->hard_link && links < LINK_LIMIT; links++) {
        const char *target = entry->link;
        size_t below = *layer + 1; /* the same layer first, else the highest below that has it */
        while (below > 0 && !sb_contents_find(view->contents[below - 1], target, entry))
            below--;
        if (below == 0)
            return false;
        *layer = below - 1;
    }
    return !entry->hard_link;
}
