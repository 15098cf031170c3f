/*
 * registry/release: the tags of a version, and which of them an image may have.
 *
 * v1.2.3 is the version's own; v1.2, v1 and latest float: each names the highest release of its
 * range. All that is decided about them is decided here, of what is known, by functions that ask
 * nobody: for the store by the store's tags, for a repository by that repository's.
 */
#ifndef SB_REGISTRY_RELEASE_H
#define SB_REGISTRY_RELEASE_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/semver.h"

enum sb_standing {
    SB_STANDING_NONE,    /* there is no version */
    SB_STANDING_GIVEN,   /* somebody said it: the recipe, the command line */
    SB_STANDING_TAGGED,  /* git: nothing differs from the commit that the version's tag names */
    SB_STANDING_CHANGED, /* git: tracked files differ from it */
    SB_STANDING_AFTER,   /* git: it is a later commit */
};

enum sb_float { SB_FLOAT_MINOR = 1, SB_FLOAT_MAJOR = 2, SB_FLOAT_LATEST = 4, SB_FLOATS = 7 };

struct sb_release {
    enum sb_standing standing;
    struct sb_semver version; /* after a tag, one that says so: 1.2.4-dev.3+gabc123f */
    const char *prefix;       /* of all its tags: "bundle-"; NULL: none */
    unsigned floats;          /* those that are wanted, of enum sb_float */
};

/* Given and tagged ones have tags, the others none. */
bool sb_release_has_tags(const struct sb_release *release);

/* What git says of a commit: the version of its nearest tag, and how far from there it is. */
struct sb_release sb_release_of_git(const struct sb_semver *tagged, unsigned distance, bool dirty,
                                    const char *abbreviated);

struct sb_release_tags {
    struct sb_strings set;           /* the version's own tag first */
    struct sb_strings kept, kept_by; /* tags that stay where they are, and for each the tag of a
                                        higher release, or "": nobody knows */
};
/* there: the tags that there are; NULL: they can't be listed, so none that floats may move. A
 * pre-release has only its own tag. Tags of a bundle (prefix) give way to higher releases of
 * images, too: both stand beside one another. */
void sb_release_decide(const struct sb_release *release, const struct sb_strings *there,
                       struct sb_release_tags *out);
void sb_release_tags_free(struct sb_release_tags *tags);
#define sb_autoreleasetags __attribute__((cleanup(sb_release_tags_free), unused))

/* "v1.2.3", "v1.2.3_b" for 1.2.3+b as tags can't hold "+", with the prefix; the caller's. */
char *sb_release_tag(const struct sb_release *release);
/* The tag among there that the floating tag has to name what it names: the highest release's in its
 * range; NULL when there is none, or floating is none of this release's. */
const char *sb_release_holder(const struct sb_release *release, const char *floating,
                              const struct sb_strings *there);

/* Takes plain tags apart: the highest version among them with the floats that it has there, and the
 * rest. */
void sb_release_split(const struct sb_strings *tags, struct sb_release *out,
                      struct sb_strings *out_rest);

#endif
