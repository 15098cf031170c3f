#include "cli/files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

static int rank(char c) {
    return c == '/' ? 1 : c ? (unsigned char)c + 1 : 0;
}

int sb_files_compare(const char *path, const char *other) {
    for (; *path && *path == *other; path++)
        other++;
    return rank(*path) - rank(*other);
}

static int compare_files(const void *a, const void *b) {
    return sb_files_compare(((const struct sb_file *)a)->entry.path,
                            ((const struct sb_file *)b)->entry.path);
}

/* Whether path is below the directory. */
static bool is_below(const char *path, const char *directory) {
    size_t n = strlen(directory);
    return !strncmp(path, directory, n) && path[n] == '/';
}

static struct sb_file *grow(struct sb_files *files) {
    SB_GROW(files->v, files->n, files->cap);
    return &files->v[files->n++];
}

/* Adds the directories that lead to the file at index and are not there: those between it and what
 * it has in common with the one before. */
static void imply_parents(struct sb_files *files, size_t index, const char *before) {
    const char *path = files->v[index].entry.path;
    size_t layer = files->v[index].layer;
    size_t common = 0;
    while (before && before[common] && before[common] == path[common])
        common++;
    for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
        size_t n = (size_t)(slash - path);
        if (before && n <= common && (!before[n] || before[n] == '/'))
            continue;
        char *name = sb_arena_strndup(&files->arena, path, n);
        *grow(files) =
            (struct sb_file){.entry = {.path = name, .mode = S_IFDIR | 0755}, .layer = layer};
    }
}

/* Sizes of directories: each file counts in every directory that is open around it. */
static void add_totals(struct sb_files *files) {
    sb_autofree size_t *open = sb_alloc((SB_PATH_LIMIT + 2) * sizeof *open);
    size_t depth = 0;
    for (size_t i = 0; i < files->n; i++) {
        struct sb_file *file = &files->v[i];
        while (depth > 0 && !is_below(file->entry.path, files->v[open[depth - 1]].entry.path))
            depth--;
        file->total = file->entry.hard_link ? 0 : file->entry.size;
        for (size_t k = 0; k < depth; k++)
            files->v[open[k]].total += file->total;
        if (S_ISDIR(file->entry.mode) && depth <= SB_PATH_LIMIT)
            open[depth++] = i;
    }
}

int sb_files_open(struct sb_store *store, const struct sb_image *image, struct sb_files *out,
                  struct sb_error *err) {
    *out = (struct sb_files){0};
    if (sb_view_open(store, image, &out->view, err) < 0)
        return -1;
    size_t count = sb_view_count(out->view);
    for (size_t i = 0; i < count; i++) {
        struct sb_file *file = grow(out);
        *file = (struct sb_file){0};
        sb_view_get(out->view, i, &file->entry, &file->layer);
    }
    if (count > 1)
        qsort(out->v, count, sizeof *out->v, compare_files);
    for (size_t i = 0; i < count; i++)
        imply_parents(out, i, i ? out->v[i - 1].entry.path : NULL);
    if (out->n > count)
        qsort(out->v, out->n, sizeof *out->v, compare_files);
    add_totals(out);
    return 0;
}

void sb_files_close(struct sb_files *files) {
    free(files->v);
    sb_view_close(files->view);
    sb_arena_free(&files->arena);
    *files = (struct sb_files){0};
}

size_t sb_files_find(const struct sb_files *files, const char *path) {
    const struct sb_file key = {.entry = {.path = path}};
    const struct sb_file *found =
        files->n ? bsearch(&key, files->v, files->n, sizeof *files->v, compare_files) : NULL;
    return found ? (size_t)(found - files->v) : files->n;
}

size_t sb_files_after(const struct sb_files *files, size_t index) {
    const char *path = files->v[index].entry.path;
    size_t end = index + 1;
    while (end < files->n && is_below(files->v[end].entry.path, path))
        end++;
    return end;
}
