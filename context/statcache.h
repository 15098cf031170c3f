/*
 * context/statcache: digests of files, remembered by what stat says of them.
 *
 * A record is believed when device, inode, size, mtime, ctime and mode are those of the file now. A
 * file that was changed so shortly before it was hashed that another change could leave the same
 * times (the clock's grain) is not recorded. One file for each context, in STORE/sbuild/stat/;
 * format: docs/formats.md, "stat cache".
 */
#ifndef SB_CONTEXT_STATCACHE_H
#define SB_CONTEXT_STATCACHE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/error.h"

struct sb_statcache;

/* A missing or damaged file is an empty cache. name is used below dirfd. */
struct sb_statcache *sb_statcache_open(int dirfd, const char *name);

/* False when the file has to be hashed. cursor starts at 0 and makes it cheap to ask in the order
 * of sb_path_order. Safe from several threads. */
bool sb_statcache_find(const struct sb_statcache *cache, const char *path, const struct stat *st,
                       size_t *cursor, struct sb_digest *out);

/* Remembers; st is from before the hashing, started_ns (CLOCK_REALTIME) too. Safe from several
 * threads. */
void sb_statcache_add(struct sb_statcache *cache, const char *path, const struct stat *st,
                      int64_t started_ns, const struct sb_digest *digest);

/* Writes what was added, if anything, and frees. Failing to write is no error: the cache only saves
 * time. */
void sb_statcache_close(struct sb_statcache *cache);

/* Order of a depth-first walk with sorted directories: "a/b" < "a!b". */
int sb_path_order(const char *a, const char *b);

#endif
