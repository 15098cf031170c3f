/*
 * base/userdb: the users and groups that this machine knows, of files and of directory services
 * (nsswitch.conf).
 *
 * They are asked for by `getent`, a program of the C library: what a directory service wants loaded
 * is loaded there. sbuild is linked statically, and could not.
 */
#ifndef SB_BASE_USERDB_H
#define SB_BASE_USERDB_H

#include <stdint.h>

#include "base/error.h"

enum sb_userdb { SB_USERDB_USERS, SB_USERDB_GROUPS };

/* key: a name, or a number in digits. Returns 1 and sets out_name (the caller's to free) and
 * out_id; 0 when it is nobody's, -1 when that can't be known. Either of the two may be NULL. */
int sb_userdb_find(enum sb_userdb database, const char *key, char **out_name, uint32_t *out_id,
                   struct sb_error *err);

#endif
