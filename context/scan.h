/*
 * context/scan: walking a source of a copy step, by several threads when it is large. Private to
 * context/context.
 *
 * The order of the result does not depend on the threads. Directories are opened without following
 * links anywhere on their path.
 */
#ifndef SB_CONTEXT_SCAN_H
#define SB_CONTEXT_SCAN_H

#include <sys/stat.h>

#include "base/arena.h"
#include "base/error.h"
#include "context/input.h"
#include "context/outputs.h"
#include "context/statcache.h"
#include "context/telltale.h"
#include "document/ignore.h"

struct sb_scan {
    int context_fd;
    const char *context_path;
    const struct stat *store;         /* is passed over, where it lies in the context */
    const struct sb_outputs *outputs; /* so are these */
    struct sb_strings *left_out;      /* gets the paths of these */
    struct sb_statcache *stats;
    const struct sb_context_listener *listener;
    const struct sb_ignore *ignore;            /* of the whole context; may be NULL */
    const char *ignore_name;                   /* where lines could be added */
    const struct sb_ignore *include, *exclude; /* relative to the source; may be NULL */
    bool check;                                /* only whether all may be read: nothing is hashed */
    bool alone;                                /* of a directory, itself and nothing below */
    bool of_image;                             /* which has no ignore file */
    struct sb_telltale *told; /* gets what no image should have by mistake; may be NULL */
};

#define SB_UNREADABLE_HINT                                                                         \
    "let the user who builds read it, or leave it out: exclude:, or a line in .dockerignore"

static inline bool sb_same_inode(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* path: of the source in the context ("" for all of it), which is name in the open directory
 * parent. */
int sb_scan_run(const struct sb_scan *scan, int parent, const char *name, const char *path,
                struct sb_input_list *out, struct sb_error *err);

struct sb_names {
    char **v;
    size_t n, cap;
};
/* The names in an open directory, sorted by bytes; strings from arena, v to be freed. */
int sb_names_read(int fd, struct sb_names *names, struct sb_arena *arena);

#endif
