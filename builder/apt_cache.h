/*
 * builder/apt_cache: package lists and archives that are kept between builds.
 *
 *     STORE/sbuild/caches/apt-NAME/lists/, archives/      NAME is a distribution
 *
 * Each user gets directories of its own, filled with hard links to what is kept; new files are
 * linked back when it is done. Apt replaces these files by rename and never writes into them, so
 * any number of builds use the cache at once, without waiting for one another. As the directories
 * are mounted while apt runs, nothing of them is ever in a layer.
 */
#ifndef SB_BUILDER_APT_CACHE_H
#define SB_BUILDER_APT_CACHE_H

#include "base/error.h"
#include "layers/store.h"

struct sb_apt_cache;

/* name: "debian", "ubuntu", … Free with sb_apt_cache_free. */
int sb_apt_cache_open(struct sb_store *store, const char *name, struct sb_apt_cache **out,
                      struct sb_error *err);
const char *sb_apt_cache_lists(const struct sb_apt_cache *cache);     /* for /var/lib/apt/lists */
const char *sb_apt_cache_archives(const struct sb_apt_cache *cache);  /* for /var/cache/apt */
const char *sb_apt_cache_directory(const struct sb_apt_cache *cache); /* for other passing files */
/* Keeps what is new. What can't be kept is just fetched again next time. */
void sb_apt_cache_keep(struct sb_apt_cache *cache);
void sb_apt_cache_free(struct sb_apt_cache *cache); /* NULL is allowed */

#endif
