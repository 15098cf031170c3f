/*
 * layers/place: finding the place of an entry below the directory that it is unpacked into. The
 * inside of layers/unpack.
 *
 * A name leads where it would lead in a chroot of that directory: symlinks in the middle of it are
 * followed, absolute ones and ".." in them included, and never lead out (openat2 RESOLVE_IN_ROOT;
 * Linux 5.6). The last component is never followed. Names of layers are plain (layers/through.h):
 * for them no symlink leads anywhere.
 */
#ifndef SB_LAYERS_PLACE_H
#define SB_LAYERS_PLACE_H

#include <stdbool.h>

#include "base/error.h"

struct sb_placer {
    int root;           /* the caller's */
    bool whiteouts;     /* a device 0/0 in the way of a directory is a whiteout: it gives way */
    const char *opaque; /* and the new directory gets this extended attribute */
    bool plain;         /* a symlink in the way of a directory is not followed */
    /* Whether what is in the way of a directory, and is none, goes; may be NULL. */
    bool (*gives_way)(void *self, const char *path);
    /* Told of each directory before one is made in it, and */
    int (*changes)(void *self, int dir, const char *path, struct sb_error *err);
    /* of each directory that was made because an entry is below it. */
    void (*made)(void *self, const char *path);
    void *self;
    char *parent; /* the last parent, and its descriptor */
    int parent_fd;
};

void sb_place_init(struct sb_placer *place, int root);
void sb_place_free(struct sb_placer *place);

/* Opens (O_PATH) the directory that path is in, making it when missing, and gives the last
 * component. The descriptor stays the place's own, until the next call; one for the same directory
 * may give it again, so nothing but what is in the directory may be removed meanwhile. */
int sb_place_make(struct sb_placer *place, const char *path, int *out_dir, const char **out_name,
                  struct sb_error *err);
/* The same without making anything; the descriptor is the caller's. -1 and errno when missing. */
int sb_place_find(const struct sb_placer *place, const char *path, const char **out_name);

#endif
