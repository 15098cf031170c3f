/*
 * registry/join: the index at one tag of a repository, into which several pushers put images, each
 * for platforms of its own, at the same time, with nothing that keeps them apart.
 *
 * A registry replaces a tag as a whole, whatever it named before. So each pusher first puts its
 * image under a tag that is of this platform alone, "v1-linux-arm64" beside "v1": the marker. Then
 * it reads the index and the markers of all other platforms, makes of both the index that has to
 * be, puts it where it isn't, and reads all once more, until there is nothing to put. Whoever puts
 * last reads after everybody's markers, and its index has them all: no image is lost, whatever the
 * order. The index's bytes depend on what is in it alone, so that two who mend at once put the
 * same.
 *
 * Of two images for one platform the marker decides, that of the later push. A marker that is an
 * index without images says that the platform was taken out.
 */
#ifndef SB_REGISTRY_JOIN_H
#define SB_REGISTRY_JOIN_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/image_index.h"
#include "registry/remote.h"

struct sb_join {
    struct sb_remote *remote;
    const char *where; /* "host/repository" */
    /* What is put, as it is in the repository already, its markers too; and what else belongs into
     * the index beside the images. */
    const struct sb_image_index *own;
    bool whole; /* these are all: images for other platforms don't stay */
    /* Not whole: also others' markers are looked at, of the platforms that the index has and of
     * these; NULL: of all that sbuild knows. */
    const struct sb_platforms *others;
    const struct sb_platforms *removed; /* these are taken out; NULL: none */
};

/* What came of it, at one tag. Plain data but for what sb_joined_free frees. */
struct sb_joined {
    struct sb_descriptor descriptor; /* of the index, and its bytes */
    struct sb_buf bytes;
    bool named; /* the tag names something, … */
    struct sb_descriptor names;
    struct sb_strings beside;    /* platforms of others in it */
    struct sb_strings overtaken; /* own platforms that another push has put an image for since */
    /* Of what was there first: */
    bool looked, fresh;        /* fresh: just now */
    struct sb_strings dropped; /* platforms that it had, and has no longer */
    char *adopted;        /* the platform of a lone image, which is in the index now; or NULL */
    char *replaced;       /* a platform that had another image, or NULL: */
    struct sb_digest was; /* that */
};
void sb_joined_free(struct sb_joined *joined);

/* The marker of a tag for a platform; the caller's. */
char *sb_join_marker(const char *tag, const struct sb_platform *platform);

/* What the tag has to name, of what is there now. *out_same: it does. */
int sb_join_look(const struct sb_join *join, const char *tag, struct sb_joined *out, bool *out_same,
                 struct sb_error *err);
/* Puts it, until it does; begins with what sb_join_look has just told, if it did. A tag that the
 * registry holds to be immutable: SB_REASON_IMMUTABLE. */
int sb_join_tag(const struct sb_join *join, const char *tag, struct sb_joined *out,
                struct sb_error *err);

/* An image that is to be put alone where the tag names an index. */
struct sb_leaving {
    struct sb_remote *remote;
    const char *tag;
    const struct sb_digest *index;      /* that it names */
    const struct sb_platform *platform; /* of the image; NULL: none is known */
    const struct sb_descriptor *image;  /* its manifest */
    const struct sb_buf *bytes;
};
/* Before it is put: the markers say what the tag will, so that no join brings back what was there.
 * out_dropped gets the platforms that the tag loses. */
int sb_join_leave(const struct sb_leaving *leaving, struct sb_strings *out_dropped,
                  struct sb_error *err);

#endif
