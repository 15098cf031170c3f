/*
 * base/idmap: how the ids of this process's user namespace are mapped.
 *
 * What a user's subordinate ids own means something only as long as they are mapped as they were
 * when it was made: /etc/subuid is written anew, or a home directory is another machine's, too.
 */
#ifndef SB_BASE_IDMAP_H
#define SB_BASE_IDMAP_H

#include <stdbool.h>
#include <sys/types.h>

/* Where each range of the maps begins, as text to compare: a line "INSIDE OUTSIDE" for each of
 * users, an empty line, the same of groups. NULL where one range maps all: then all ids move alike,
 * and whose a directory of root's is tells. The caller frees it. */
char *sb_idmap_note(void);

/* Whether files, and processes, can be theirs in this namespace. */
bool sb_idmap_has(uid_t uid, gid_t gid);

#endif
