/*
 * deploy/host/envfile: variables of this host for a service, /etc/sbuild/environment/NAME.env.
 *
 * systemd reads the file (EnvironmentFile=), and is silent about what it leaves out or alters.
 * People write it as they know it from docker, from shells and from .env files. So what these read
 * otherwise than systemd does is refused before a service is started with it:
 *
 *     NAME=value              as it stands, blanks around it left out
 *     NAME='any text'         as it stands
 *     NAME="any text"         the same, but \" \\ \$ \` are the second of them
 *     # a comment; an empty line
 */
#ifndef SB_DEPLOY_HOST_ENVFILE_H
#define SB_DEPLOY_HOST_ENVFILE_H

#include <stddef.h>

#include "base/error.h"

#define SB_ENVFILE_LIMIT (1u << 20) /* bytes */

/* SB_E_FAILED names path and line, says what systemd would make of it, and what to write. No value
 * is quoted: it may be a password. */
int sb_envfile_check_text(const char *path, const char *text, size_t len, struct sb_error *err);
/* The same of a file. One that is not there is fine. */
int sb_envfile_check(const char *path, struct sb_error *err);

#endif
