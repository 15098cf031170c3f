/*
 * http/credentials: whose credentials are where: docker's and podman's files, and the helpers that
 * they name.
 *
 * Files, in this order: $REGISTRY_AUTH_FILE; $DOCKER_CONFIG/config.json, or ~/.docker/config.json;
 * $XDG_RUNTIME_DIR/containers/auth.json. In each, what a helper for the host has comes before what
 * is in "auths". The first that has some for the host is it.
 */
#ifndef SB_HTTP_CREDENTIALS_H
#define SB_HTTP_CREDENTIALS_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http/credential.h"

/* The paths of these files, whether they are there or not. */
void sb_credentials_files(struct sb_strings *out);

/* host as in references; repository "" for none. 1: found, 0: none anywhere, -1: a file or a helper
 * that must be asked can't be. Runs programs. */
int sb_credentials_find(const char *host, const char *repository, struct sb_credential *out,
                        struct sb_error *err);
/* May what is found differ between repositories of that host? */
bool sb_credentials_by_repository(const char *host);

/* Into the first file, or with the helper that it names for the host. out_where: the caller's. */
int sb_credentials_store(const char *host, const struct sb_credential *credential, char **out_where,
                         struct sb_error *err);
/* From all of them. 1: some were there and are gone (named in out_where), 0: none, -1. */
int sb_credentials_erase(const char *host, struct sb_strings *out_where, struct sb_error *err);

#endif
