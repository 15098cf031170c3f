/*
 * layers/onto: an archive that is unpacked over what an image has, as context/copy has it: it goes
 * through links to directories, files and links replace one another, directories that are there
 * stay as they are, and nothing is replaced by something of another kind. Private to layers/unpack.
 *
 * The image's links may lead anywhere in it, those that the archive brings only to what is below
 * the directory that it is unpacked into.
 */
#ifndef SB_LAYERS_ONTO_H
#define SB_LAYERS_ONTO_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/map.h"
#include "layers/entry.h"

struct sb_onto {
    int root;              /* of the image */
    size_t below_len;      /* of the path of the directory that it is unpacked into */
    struct sb_map leaving; /* links of the archive that lead out of that */
    struct sb_map made;    /* its directories */
    bool placed;           /* anything at all */
};
void sb_onto_free(struct sb_onto *onto);

/* Before path, or the target of a hard link, is looked up. */
int sb_onto_check(const struct sb_onto *onto, const char *path, struct sb_error *err);
/* Before the entry is placed: name in the open directory dir. *out_done: nothing is to be. */
int sb_onto_look(struct sb_onto *onto, int dir, const char *name, const struct sb_entry *entry,
                 bool *out_done, struct sb_error *err);
void sb_onto_made(struct sb_onto *onto, const char *directory);

#endif
