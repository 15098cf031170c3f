/*
 * layers/whiteout: what a path in a layer says about lower layers.
 */
#ifndef SB_LAYERS_WHITEOUT_H
#define SB_LAYERS_WHITEOUT_H

#include <stdbool.h>

#include "base/error.h"
#include "layers/entry.h"

enum sb_whiteout {
    SB_WHITEOUT_NO,          /* an entry like any other */
    SB_WHITEOUT_HIDES,       /* ".wh.NAME": hides NAME */
    SB_WHITEOUT_HIDES_BELOW, /* ".wh..wh..opq": hides what its directory has in lower layers */
    SB_WHITEOUT_IGNORED,     /* aufs' bookkeeping, or anything in it */
    SB_WHITEOUT_BAD,         /* hides nothing that could exist, such as ".." */
};

/* path is clean, as layers/entry has it. */
enum sb_whiteout sb_whiteout_kind(const char *path);

/* Whether a name on the path is one that hides something. */
bool sb_whiteout_is_on(const char *path);

/* A character device 0/0, which exists nowhere: in a tree it would pass for a whiteout. Nobody who
 * reads a layer sees one. */
bool sb_whiteout_device(const struct sb_entry *entry);
/* SB_E_INTEGRITY for SB_WHITEOUT_BAD: whoever reads a layer says the same of it. */
int sb_whiteout_check(const char *path, struct sb_error *err);

/* For SB_WHITEOUT_HIDES the path that is hidden, for SB_WHITEOUT_HIDES_BELOW that of the directory
 * ("" for the root); the caller's to free. */
char *sb_whiteout_target(const char *path);

#endif
