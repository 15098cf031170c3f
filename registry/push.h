/*
 * registry/push: images of the store into a repository.
 *
 *     struct sb_pusher *pusher = sb_pusher_new(registry, store, &reference, &options);
 *     sb_pusher_grow(pusher, id, …)           while a layer is being packed, if at all
 *     sb_pusher_add(pusher, id, &layer);      as soon as it is packed; both from any thread
 *     sb_pusher_finish(pusher, &image, &tags, &result, &err)     the rest, manifests last
 *     sb_pusher_free(pusher);
 *
 * Layers go in background threads: one that the repository has is not sent; one that another
 * repository of the same registry has (layers/origin.h) is mounted; else it is uploaded, fetched
 * into the store first when it lies elsewhere. What a push has put there is remembered as origin of
 * the blob, and the next push to that repository doesn't ask for it again, unless the registry then
 * misses it.
 *
 * Errors are those of registry/remote, but what the registry does not have is SB_E_NETWORK. A blob
 * of the store that turns out damaged is SB_E_INTEGRITY.
 */
#ifndef SB_REGISTRY_PUSH_H
#define SB_REGISTRY_PUSH_H

#include "base/buffer.h"
#include "base/error.h"
#include "layers/image.h"
#include "layers/image_index.h"
#include "layers/store.h"
#include "registry/ecr.h"
#include "registry/reference.h"
#include "registry/release.h"
#include "registry/remote.h"
#include "registry/transfer.h"

enum sb_push_compression {
    SB_PUSH_COMPRESSION_KEEP,
    SB_PUSH_COMPRESSION_ZSTD,
    SB_PUSH_COMPRESSION_GZIP,
};
enum sb_push_format {
    SB_PUSH_FORMAT_KEEP, /* the manifest as it is in the store, byte for byte */
    SB_PUSH_FORMAT_OCI,
    SB_PUSH_FORMAT_DOCKER, /* Docker schema 2, which knows gzip only */
};

/* Zero values are the defaults. */
struct sb_push_options {
    enum sb_push_compression compression;
    enum sb_push_format format;
    int parallel;               /* layers at once; 0: 4 */
    struct sb_ecr_options ecr;  /* looked at before the first upload */
    sb_transfer_notify *notify; /* may be NULL */
    void *data;
};

/* Makes image, one of the store, what a push with these options leaves in a repository: the
 * manifest, and the layers that have to be compressed anew for it, are written to the store.
 * Nothing happens to one that goes as it is. */
int sb_push_form(struct sb_store *store, const struct sb_push_options *options,
                 struct sb_image *image, struct sb_error *err);

struct sb_push_result {
    struct sb_descriptor manifest; /* as it is in the repository now */
    bool unchanged;                /* everything was there, tags included */
    size_t uploaded, mounted;      /* blobs */
    uint64_t sent;                 /* bytes of blobs uploaded */
    struct sb_strings tags;        /* that name it */
    struct sb_strings overtaken;   /* tags that another push moved at the same time */
    struct sb_strings kept;        /* floating tags that stay where they are, … */
    struct sb_strings kept_by;     /* … and for each the tag of a higher release, or "": */
    char *unlisted;                /* why the registry's tags could not be listed; or NULL */
    bool replaced;                 /* the version's own tag named another image before: */
    struct sb_digest replaced_digest;
    /* Of an index, at its first tag (registry/join.h): */
    struct sb_strings beside;              /* platforms of others that it has too */
    struct sb_strings dropped;             /* platforms that the tag had, and has no longer; also
                                              of an image that took the place of an index */
    struct sb_strings overtaken_platforms; /* whose image another push put at the same time */
    struct sb_strings lost;  /* digests of entries that are no images, and that the repository
                                does not have */
    char *adopted;           /* the platform of the one image that the tag named before, which is
                                in the index now; or NULL */
    char *replaced_platform; /* of which the tag had another image; or NULL */
};
void sb_push_result_free(struct sb_push_result *result);

/* What is to name an image in a repository. */
struct sb_push_tags {
    const struct sb_strings *told;    /* moved as told */
    const struct sb_release *release; /* moved as the repository's tags allow; NULL: none */
};

struct sb_pusher;

/* Host and repository of the reference; tag and digest are not looked at. Asks nobody yet, and
 * starts no thread. options is copied. */
struct sb_pusher *sb_pusher_new(struct sb_registry *registry, struct sb_store *store,
                                const struct sb_reference *repository,
                                const struct sb_push_options *options);

/* Whether anything may be pushed there at all: for who would otherwise work for minutes in vain. */
int sb_pusher_check(struct sb_pusher *pusher, struct sb_error *err);

/* For a layer that is still being packed, which the caller calls id: the first size bytes of its
 * blob are in fd, and will not change. From one chunk on they are sent already. As sb_pusher_add;
 * fd is needed during the call only. Size 0: it is packed anew, or not at all. */
void sb_pusher_grow(struct sb_pusher *pusher, size_t id, const char *media_type, int fd,
                    uint64_t size);
/* Starts sending a layer, or goes on with what sb_pusher_grow sent of it. From any thread; returns
 * at once. Layers that were added already are left out. What fails is told by sb_pusher_finish.
 * Don't call it for an image that may turn out to be in the repository already: sb_pusher_finish
 * finds that out with one request. */
void sb_pusher_add(struct sb_pusher *pusher, size_t id, const struct sb_layer *layer);

/* Sends what is left of the image, the config, and at last the manifest under all tags
 * (push_tagging.c), then reads each tag back. Without tags the manifest is only put by its
 * digest. image must be saved in the store. Free out in every case. */
int sb_pusher_finish(struct sb_pusher *pusher, const struct sb_image *image,
                     const struct sb_push_tags *tags, struct sb_push_result *out,
                     struct sb_error *err);

/* ---- several platforms ---- */

/* An image of an index, and who sends it. */
struct sb_push_part {
    const struct sb_image *image; /* saved in the store */
    struct sb_pusher *pusher;     /* of the same repository; freed by sb_push_index */
};
struct sb_push_index {
    struct sb_registry *registry;
    struct sb_store *store;
    const struct sb_reference *repository;
    struct sb_push_part *parts;
    size_t count;
    /* What the index has beside the images: annotations, attestations; NULL: nothing. Entries that
     * neither the repository has nor the store are left out, and named in the result's lost. */
    const struct sb_image_index *rest;
    bool whole;                         /* as in registry/join.h, like these: */
    const struct sb_platforms *others;  /* may be NULL */
    const struct sb_platforms *removed; /* may be NULL */
};
/* Sends the images, several at once, each under the markers of its platform; then puts the index
 * under all tags. out tells of all together, and is to be freed in every case. */
int sb_push_index(const struct sb_push_index *push, const struct sb_push_tags *tags,
                  struct sb_push_result *out, struct sb_error *err);

/* NULL is allowed; ends what is still under way. */
void sb_pusher_free(struct sb_pusher *pusher);

#endif
