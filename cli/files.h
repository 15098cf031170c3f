/*
 * cli/files: the files of an image as its layers together make them, sorted.
 *
 * A layers/view, laid out as a tree: directories that no layer mentions, known only as parents, are
 * there too (0755, root's), and each directory is followed at once by all that is below it.
 */
#ifndef SB_CLI_FILES_H
#define SB_CLI_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "layers/view.h"

struct sb_file {
    struct sb_entry entry; /* strings live as long as the list */
    size_t layer;          /* of the image, from 0, lowest first; of an implied directory that of
                              the first file below it */
    uint64_t
        total; /* bytes of all files below a directory; else entry.size; a hard link has none */
};
struct sb_files {
    struct sb_file *v;
    size_t n, cap;
    struct sb_view *view;
    struct sb_arena arena; /* names of implied directories */
};

int sb_files_open(struct sb_store *store, const struct sb_image *image, struct sb_files *out,
                  struct sb_error *err);
void sb_files_close(struct sb_files *files);
#define sb_autofiles __attribute__((cleanup(sb_files_close)))

/* The order of the list: by bytes, but "/" before all others. */
int sb_files_compare(const char *path, const char *other);
/* The index of path, or the number of files when it is not there. */
size_t sb_files_find(const struct sb_files *files, const char *path);
/* The index of what follows the file at index and all below it. */
size_t sb_files_after(const struct sb_files *files, size_t index);

#endif
