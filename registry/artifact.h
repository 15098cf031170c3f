/*
 * registry/artifact: what an index has beside images, attestations above all: a manifest and its
 * blobs, which go from a repository to the store, and from there to another, as they are. Nothing
 * in them is looked at but what they refer to.
 */
#ifndef SB_REGISTRY_ARTIFACT_H
#define SB_REGISTRY_ARTIFACT_H

#include "base/error.h"
#include "layers/store.h"
#include "registry/remote.h"

/* Both: 1: it is there now; 0: it is none that is carried (no manifest, too large, not there); -1.
 */
int sb_artifact_pull(struct sb_remote *remote, struct sb_store *store,
                     const struct sb_descriptor *manifest, struct sb_error *err);
int sb_artifact_push(struct sb_remote *remote, struct sb_store *store,
                     const struct sb_descriptor *manifest, struct sb_error *err);

#endif
