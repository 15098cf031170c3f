/*
 * steps/apt_kept: a directory of files that are called by their SHA-256, in hexadecimal digits.
 *
 * A file gets its name when it has been copied here, by the digest of the copy; nobody else has
 * ever had it open for writing.
 */
#ifndef SB_STEPS_APT_KEPT_H
#define SB_STEPS_APT_KEPT_H

#include <stdbool.h>

#include "base/digest.h"
#include "base/error.h"
#include "base/map.h"

#define SB_APT_LISTS    "lists"
#define SB_APT_ARCHIVES "archives"

/* Files that nobody used for so long go when new ones come. */
enum { SB_APT_LIST_DAYS = 14, SB_APT_ARCHIVE_DAYS = 90 };

struct sb_apt_kept {
    int fd, tmp;        /* not owned */
    int64_t boot;       /* when this machine started, seconds */
    struct sb_map have; /* of digests in hexadecimal */
};

/* tmp: where files are before they have their names, of the same file system. */
int sb_apt_kept_open(int fd, int tmp, struct sb_apt_kept *out, struct sb_error *err);
void sb_apt_kept_close(struct sb_apt_kept *kept);

bool sb_apt_kept_has(const struct sb_apt_kept *kept, const struct sb_digest *digest);
/* Makes it appear as to/name: as a link, that nobody may write to, or as a copy. A file that a
 * power cut may have damaged is read first, and removed if it was. One that is gone is passed over.
 */
int sb_apt_kept_give(struct sb_apt_kept *kept, const struct sb_digest *digest, int to,
                     const char *name, bool copy, struct sb_error *err);
/* Takes a copy of a regular file; what is none is passed over. */
int sb_apt_kept_take(struct sb_apt_kept *kept, int from, const char *name, struct sb_error *err);
void sb_apt_kept_prune(struct sb_apt_kept *kept, int days);

bool sb_apt_is_archive(const char *name);

/* Copies Release files, under their names. */
int sb_apt_copy_releases(int from, int to, struct sb_error *err);

#endif
