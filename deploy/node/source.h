/*
 * deploy/node/source: where an operator's word for a release leads: a bundle in a registry, in the
 * store, or in a file.
 *
 *     registry.example.com/team/backend:v1.4.2            an image: its bundle is looked for, under
 *                                                         the tag bundle-v1.4.2, and as a referrer
 *     registry.example.com/team/backend:bundle-v1.4.2     the bundle itself; also @sha256:…
 *     backend:v1.4.2                                      the same in the store
 *     backend.tar                                         a file of sbuild bundle --output
 */
#ifndef SB_DEPLOY_NODE_SOURCE_H
#define SB_DEPLOY_NODE_SOURCE_H

#include "base/error.h"
#include "layers/platform.h"
#include "layers/store.h"
#include "registry/remote.h"

struct sb_bundle_source {
    struct sb_descriptor manifest; /* of the bundle; media_type is a static string */
    char *reference;               /* what it is called, whole */
    char *host, *repository;       /* of a registry; NULL otherwise */
};
/* Of an index, image or bundle, the one for the platform (NULL: this machine's). Asks for manifests
 * only. SB_E_NOT_FOUND or SB_E_NETWORK when there is no bundle of that name. */
int sb_bundle_find(struct sb_store *store, struct sb_registry *registry, const char *text,
                   const struct sb_platform *platform, struct sb_bundle_source *out,
                   struct sb_error *err);
/* Brings it into the store: what is in a registry without its layers, of which the store then knows
 * where they lie. */
int sb_bundle_fetch(struct sb_store *store, struct sb_registry *registry,
                    const struct sb_bundle_source *source, struct sb_error *err);
void sb_bundle_source_free(struct sb_bundle_source *source);

#endif
