/*
 * registry/tagging: the tags that an image gets in a repository, once its blobs are there. Private
 * to pushing.
 *
 * A tag that somebody named is moved as told. Those of a version (registry/release.h) are the
 * registry's to decide: the version's own tag goes first, and is what others see; then the tags
 * that there are say which floating ones may move; then all is read once more, and what another
 * push overtook meanwhile is set to what it has to name. Every pusher does the same, so whoever
 * comes last leaves tags that agree: those of the highest version, all of one image.
 */
#ifndef SB_REGISTRY_TAGGING_H
#define SB_REGISTRY_TAGGING_H

#include "base/jobs.h"
#include "registry/push.h"
#include "registry/rewrite.h"

struct sb_tag_job {
    struct sb_tagging *tagging;
    char *reference;  /* NULL: by its digest */
    bool floats;      /* and is not the version's own */
    bool named, same; /* when last looked at: it names something; the document */
    struct sb_digest names;
    bool was_named; /* before it was put */
    struct sb_digest was;
    bool overtaken; /* another push came last */
    bool stuck;     /* the registry holds it to be immutable */
    /* Of a floating tag: */
    bool wanted;              /* it may be this image's; later another push may have it */
    char *kept_by;            /* it stays: the tag of a higher release, or "" */
    bool others;              /* it has to name another image, which overtook this one: */
    struct sb_manifest other; /* this */
};

struct sb_tagging {
    struct sb_remote *remote;
    struct sb_jobs *jobs;
    const char *where; /* "host/repository" */
    const struct sb_rewritten *document;
    struct sb_release release;
    struct sb_tag_job *v; /* the version's own, its floating ones, those that were told */
    size_t n, floats;     /* of all; those behind the first that float */
    bool moved;           /* floating tags were put since the tags were listed */
    bool insisted;        /* the version's own was put once more */
    struct sb_strings there;
    char *unlisted; /* why they can't be listed; NULL: they can */
};

/* Plain: all but tags must outlive it. */
void sb_tagging_init(struct sb_tagging *tagging, struct sb_remote *remote, struct sb_jobs *jobs,
                     const char *where, const struct sb_rewritten *document,
                     const struct sb_push_tags *tags);
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
