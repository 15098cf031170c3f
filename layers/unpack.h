/*
 * layers/unpack: layers and archives laid out as files.
 *
 * Layers come from anywhere and are hostile until checked: no entry leaves the directory it is
 * unpacked into (names are opened with openat2 RESOLVE_IN_ROOT semantics: "..", absolute names and
 * links stay inside), sizes are bounded, and the blob's digest and size and the diff ID are
 * compared before anything is published.
 */
#ifndef SB_LAYERS_UNPACK_H
#define SB_LAYERS_UNPACK_H

#include <stdint.h>

#include "base/error.h"
#include "layers/contents.h"
#include "layers/layer.h"
#include "layers/store.h"
#include "layers/unpack_options.h"

/* The table of contents of a layer: from the store; or, when the blob isn't there, from the source
 * of tables (sb_store_set_contents_source), for this once; or else made from the blob. */
int sb_layer_contents(struct sb_store *store, const struct sb_layer *layer,
                      struct sb_contents **out, struct sb_error *err);

/* ---- laying out files ---- */

/* Unpacks a tar of any of the compressions that stands in a file descriptor (a bootstrap's output,
 * an archive) into an open directory. */
int sb_unpack_fd(int fd, int dirfd, const struct sb_unpack_options *options, struct sb_error *err);
/* The same of a zip archive. A time in it is that of some time zone: give options.mtime. */
int sb_unpack_zip(int fd, int dirfd, const struct sb_unpack_options *options, struct sb_error *err);
/* Unpacks a layer of the store, verifying as sb_layer_walk does. */
int sb_unpack_layer(struct sb_store *store, const struct sb_layer *layer, int dirfd,
                    const struct sb_unpack_options *options, struct sb_error *err);

#endif
