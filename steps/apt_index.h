/*
 * steps/apt_index: what the indexes of an archive say, by digest: Release files (or InRelease)
 * name lists of packages, lists name packages.
 *
 * Nothing is verified here: apt has verified the signature of what it keeps in lists/, with the
 * keys of the root that it runs in. So what an index says is good for that root, and for no other.
 */
#ifndef SB_STEPS_APT_INDEX_H
#define SB_STEPS_APT_INDEX_H

#include "base/digest.h"
#include "base/error.h"

struct sb_apt_index {
    void *data;
    /* Whether an entry with this digest is of interest: asked first, as lists have 60,000. */
    bool (*wanted)(void *data, const struct sb_digest *digest);
    /* name: as apt calls the file in lists/ or archives/, a plain name. Not 0 ends the reading. */
    int (*entry)(void *data, const struct sb_digest *digest, const char *name,
                 struct sb_error *err);
};

/* Reads lists/NAME, if that is a Release file; fd is of that directory. What is not well-formed
 * counts as saying nothing. */
int sb_apt_index_release(int fd, const char *name, const struct sb_apt_index *index,
                         struct sb_error *err);
/* The same for a list of packages. */
int sb_apt_index_packages(int fd, const char *name, const struct sb_apt_index *index,
                          struct sb_error *err);

/* By the name alone. */
bool sb_apt_is_release(const char *name);
bool sb_apt_is_packages(const char *name);

#endif
