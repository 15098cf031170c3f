/*
 * layers/pin: items of the store that somebody relies on for longer than a process lives.
 *
 *     STORE/sbuild/pins/NAME       paths relative to STORE, one a line: "sbuild/trees/HEX"
 *
 * The collector takes nothing that a pin names, whatever its limits are. What the services of a
 * node run on is pinned (deploy/node/node.h): their mounts are made by systemd, at times at which
 * no process of sbuild lives.
 */
#ifndef SB_LAYERS_PIN_H
#define SB_LAYERS_PIN_H

#include "base/buffer.h"
#include "base/error.h"
#include "layers/store.h"

/* Replaces the items of that pin, in one atomic write. Every item must be there (SB_E_NOT_FOUND):
 * then it is safe from now on. name is a file name. */
int sb_pin_set(struct sb_store *store, const char *name, const struct sb_strings *items,
               struct sb_error *err);
/* A pin that is not there is success. */
int sb_pin_remove(struct sb_store *store, const char *name, struct sb_error *err);
/* Appends the items of one pin (NULL: of all), as they are written. A pin that can't be read is an
 * error: what it holds is unknown then. */
int sb_pin_items(struct sb_store *store, const char *name, struct sb_strings *out,
                 struct sb_error *err);

#endif
