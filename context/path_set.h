/*
 * context/path_set: which paths a layer has, in a few bytes each: enough to ask for one, not to
 * list them. What an image's config says of files and of ordinary directories (context/base_paths).
 *
 * A set holds numbers of 40 bits, made from a kind and a path. That one is taken for another
 * happens once in some ten million questions to an image of a hundred thousand paths. Format:
 * docs/formats.md, "Paths of an image".
 */
#ifndef SB_CONTEXT_PATH_SET_H
#define SB_CONTEXT_PATH_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layers/contents.h"

struct sb_path_set {
    uint64_t *v; /* ascending */
    size_t n;
    char *text; /* as it stands in a config */
};
void sb_path_set_free(struct sb_path_set *set);

/* Of a layer; without files, only its directories and what it hides of lower layers. */
void sb_path_set_make(const struct sb_contents *layer, bool files, struct sb_path_set *out);
/* False when the text is no set. */
bool sb_path_set_read(const char *text, struct sb_path_set *out);

enum sb_path_known {
    SB_PATH_NONE,
    SB_PATH_DIRECTORY,
    SB_PATH_OTHER, /* a file, a link, a device */
};
/* What is seen at path through the layers whose sets these are, the lowest first. */
enum sb_path_known sb_path_sets_find(const struct sb_path_set *sets, size_t count,
                                     const char *path);

#endif
