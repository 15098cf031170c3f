/*
 * context/input: what was found in a context, and who is told while it is looked for.
 */
#ifndef SB_CONTEXT_INPUT_H
#define SB_CONTEXT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/digest.h"

struct sb_xattr; /* layers/entry.h */

struct sb_input {
    const char *path;     /* in the context: "src/app/main.py" */
    const char *relative; /* below the source that found it: "main.py"; "" for the source itself */
    mode_t mode;          /* a regular file, directory or symbolic link, with its permissions */
    uint64_t size;
    struct sb_digest digest; /* of a regular file's content */
    const char *link;        /* a symlink's target */
    bool owned;              /* from an image: whose it is there, and mode is as it is there */
    uint32_t uid, gid;
    const struct sb_xattr *xattrs; /* then too; they belong to who knows the image */
    size_t xattr_count;
};

struct sb_input_list {
    struct sb_input *v;
    size_t n, cap;
    struct sb_arena arena; /* of the strings */
};
void sb_input_list_free(struct sb_input_list *list);

struct sb_context_listener {
    /* key: the same for the same warning, whatever the place. */
    void (*warn)(void *data, const char *key, const char *text);
    /* While a large file is read, every second or so; from several threads. */
    void (*reading)(void *data, const char *path, uint64_t bytes, uint64_t size);
    void *data;
};

#endif
