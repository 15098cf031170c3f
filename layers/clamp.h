/*
 * layers/clamp: no file of a tree is younger than the epoch.
 */
#ifndef SB_LAYERS_CLAMP_H
#define SB_LAYERS_CLAMP_H

#include <stdint.h>

#include "base/error.h"

/* Sets every mtime below path that is later than epoch to epoch, directories and links included.
 * Done before anything else looks at a finished upper directory, so that a layer above sees the
 * times that the layer will have everywhere. */
int sb_tree_clamp(const char *path, int64_t epoch, struct sb_error *err);

#endif
