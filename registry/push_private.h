/*
 * registry/push_private: what the files of registry/push share. Nobody else includes it, but tests.
 *
 *     push.c           the jobs: blobs, and what they wait for
 *     push_rewrite.c   the manifest as it goes
 *     push_tagging.c   the tags that it gets
 *     push_index.c     the images of an index, and the index
 */
#ifndef SB_REGISTRY_PUSH_PRIVATE_H
#define SB_REGISTRY_PUSH_PRIVATE_H

#include <jansson.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/jobs.h"
#include "layers/pack.h"
#include "registry/join.h"
#include "registry/push.h"

/* ---- push_rewrite.c: the manifest of an image whose layers go into a repository otherwise than
 * they are in the store: compressed anew, or under Docker's media types. The config's bytes stay as
 * they are: OCI's and Docker's are the same document. ---- */

/* How a layer of that media type has to be compressed to be pushed so. */
enum sb_compression sb_rewrite_compression(const char *media_type,
                                           const struct sb_push_options *options);
/* True when the manifest's bytes can be pushed as they are: nothing has to be rewritten. */
bool sb_rewrite_needed(const json_t *manifest, const struct sb_push_options *options);
/* Writes the manifest with these layers, as many as it has. Annotations, which Docker's format
 * doesn't have, are left out there. out_media_type becomes a static string. */
int sb_rewrite_manifest(const json_t *manifest, const struct sb_descriptor *layers,
                        enum sb_push_format format, struct sb_buf *out, const char **out_media_type,
                        struct sb_error *err);

/* The manifest of an image of the store, as it goes; free its bytes in every case. 1: it is known,
 * 0: layers have yet to be converted. */
struct sb_rewritten {
    struct sb_descriptor descriptor;
    struct sb_buf bytes;
};
int sb_rewrite(struct sb_store *store, const struct sb_push_options *options,
               const struct sb_image *image, struct sb_rewritten *out, struct sb_error *err);

/* ---- push_tagging.c: the tags that an image gets in a repository, once its blobs are there.
 *
 * A tag that somebody named is moved as told. Those of a version (registry/release.h) are the
 * registry's to decide: the version's own tag goes first, and is what others see; then the tags
 * that there are say which floating ones may move; then all is read once more, and what another
 * push overtook meanwhile is set to what it has to name. Every pusher does the same, so whoever
 * comes last leaves tags that agree: those of the highest version, all of one image. ---- */

struct sb_tag_job {
    struct sb_tagging *tagging;
    char *reference;  /* NULL: by its digest */
    bool floats;      /* and is not the version's own */
    bool named, same; /* when last looked at: it names something; the document */
    struct sb_digest names;
    bool is_index;             /* it does, an index */
    struct sb_strings dropped; /* platforms of that one, which an image took the place of */
    bool was_named;            /* before it was put */
    struct sb_digest was;
    bool overtaken;          /* another push came last */
    struct sb_joined joined; /* of an index, and no floating tag */
    bool stuck;              /* the registry holds it to be immutable */
    /* Of a floating tag: */
    bool wanted;              /* it may be this image's; later another push may have it */
    char *kept_by;            /* it stays: the tag of a higher release, or "" */
    bool others;              /* it has to name another image, which overtook this one: */
    struct sb_manifest other; /* this */
};

struct sb_tagging {
    struct sb_remote *remote;
    struct sb_jobs *jobs;
    const char *where;                   /* "host/repository" */
    const struct sb_rewritten *document; /* of an image, else NULL: */
    const struct sb_join *join;          /* an index is joined at each tag; those that float name
                                            what the version's own does */
    const struct sb_platform *platform;  /* of an image, if it is known */
    struct sb_release release;
    struct sb_tag_job *v; /* the version's own, its floating ones, those that were told */
    size_t n, floats;     /* of all; those behind the first that float */
    bool moved;           /* floating tags were put since the tags were listed */
    bool insisted;        /* the version's own was put once more */
    struct sb_strings there;
    char *unlisted; /* why they can't be listed; NULL: they can */
};

/* What is given stays the caller's, and but for tags must outlive it. One of document and join is
 * NULL. */
void sb_tagging_init(struct sb_tagging *tagging, struct sb_remote *remote, struct sb_jobs *jobs,
                     const char *where, const struct sb_rewritten *document,
                     const struct sb_join *join, const struct sb_push_tags *tags);
void sb_tagging_free(struct sb_tagging *tagging);

/* What each names now. *out_same: nothing would have to be put. */
int sb_tagging_look(struct sb_tagging *tagging, bool *out_same, struct sb_error *err);
/* The same beside other jobs. */
void sb_tagging_start_look(struct sb_tagging *tagging);
/* Puts the manifest, first by its digest where there are no tags at all. May be repeated after a
 * failure. */
int sb_tagging_put(struct sb_tagging *tagging, struct sb_error *err);
void sb_tagging_result(const struct sb_tagging *tagging, struct sb_push_result *out);

#endif
