/*
 * registry/pull: images of a registry into the store.
 *
 * Whole, or lazily: then manifest and config come alone, a few kilobytes, and for each layer the
 * store keeps where it lies (layers/origin.h). sb_pull_install_source lets the store fetch a layer
 * when somebody opens it after all.
 *
 * Everything is verified: digests and sizes while bytes stream into the store, media types against
 * what referred to them, counts, depths and limits before anything is believed. What a registry
 * does not have, or has and can't be used, is SB_E_NETWORK (exit status 5); what does not match its
 * digest, size or type is SB_E_INTEGRITY (6).
 */
#ifndef SB_REGISTRY_PULL_H
#define SB_REGISTRY_PULL_H

#include <stdbool.h>

#include "base/error.h"
#include "layers/image.h"
#include "layers/store.h"
#include "registry/reference.h"
#include "registry/remote.h"
#include "registry/transfer.h"

/* Zero values are the defaults. */
struct sb_pull_options {
    const struct sb_platform *platform; /* NULL: this machine's */
    bool all_platforms; /* of an index, all images for Linux; it is then what gets the tag */
    bool untagged;      /* the store gets no tag */
    bool lazy;          /* leave the layers where they are */
    bool keep_tag;      /* one that the store has stays where it is */
    bool tag_own;       /* what a tag is, is asked of the registry itself, not of its mirrors */
    int parallel;       /* layers at once; 0: 4 */
    sb_transfer_notify *notify; /* may be NULL */
    /* Called when a layer begins to arrive, or is in the store, from any thread and for two layers
     * at once, while others are still fetched. One that fails while its layer is arriving is called
     * again when it is in the store. The image gets its tag when all have returned 0. May be NULL;
     * not when lazy. */
    int (*layer)(void *data, const struct sb_layer *layer, bool arriving, struct sb_error *err);
    void *data; /* of both */
};

struct sb_pulled {
    struct sb_descriptor image; /* its manifest, in the store; media_type is a static string. With
                                   all_platforms the index, if there is one */
    size_t images;              /* that were brought */
    struct sb_descriptor named; /* what the reference named: the same, or an index that it is in */
    bool absent;                /* failed, as the registry has no such tag, digest or repository */
};

/* Brings the image into the store and tags it there as "host/repository:tag" (not, when the
 * reference has a digest and no tag: then nothing but the caller's use keeps it). A reference with
 * a digest that is in the store with its config asks nobody, when it is lazy or its layers are
 * there too. Indexes are followed to the platform's image; the index is kept as well, until the
 * next collection. Layers that are there aren't fetched. */
int sb_pull_image(struct sb_registry *registry, struct sb_store *store,
                  const struct sb_reference *reference, const struct sb_pull_options *options,
                  struct sb_pulled *out, struct sb_error *err);

/* Where what is opened comes from, and who is told. */
struct sb_pull_source {
    struct sb_registry *registry;
    sb_transfer_notify *notify; /* may be NULL; may change while nothing is opened */
    void *data;
};
/* From now on blobs that the store lacks and an origin of is known are fetched when they are
 * opened. source must outlive that: take it away with sb_store_set_source(store, NULL). */
void sb_pull_install_source(struct sb_pull_source *source, struct sb_store *store);

#endif
