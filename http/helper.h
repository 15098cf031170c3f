/*
 * http/helper: programs that keep credentials, docker-credential-NAME
 * (github.com/docker/docker-credential-helpers): asked through stdin, they answer on stdout.
 */
#ifndef SB_HTTP_HELPER_H
#define SB_HTTP_HELPER_H

#include "base/error.h"
#include "http/credential.h"

/* server is the key under which it keeps them: a host, or "https://index.docker.io/v1/". */

/* 1: out has them, 0: it has none, -1. source of out is the program's name. */
int sb_helper_get(const char *name, const char *server, struct sb_credential *out,
                  struct sb_error *err);
/* User and password, or the identity token. */
int sb_helper_store(const char *name, const char *server, const struct sb_credential *credential,
                    struct sb_error *err);
/* 1: erased, 0: there was nothing, -1. */
int sb_helper_erase(const char *name, const char *server, struct sb_error *err);

/* How long one may take, some of them ask the user: 120 s. Tests shorten it. */
extern int sb_helper_timeout_ms;

#endif
