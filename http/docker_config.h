/*
 * http/docker_config: docker's config.json (docs.docker.com, "docker login") and containers'
 * auth.json (containers-auth.json(5)), which have one form:
 *
 *     {"auths": {"registry.example.com": {"auth": "dXNlcjpwYXNzd29yZA=="},
 *                "https://index.docker.io/v1/": {"identitytoken": "…"},
 *                "registry.example.com/team": {"auth": "…"}},
 *      "credHelpers": {"gcr.io": "gcloud"}, "credsStore": "pass"}
 *
 * No message holds a byte of such a file, but for keys and the names of helpers.
 */
#ifndef SB_HTTP_DOCKER_CONFIG_H
#define SB_HTTP_DOCKER_CONFIG_H

#include <jansson.h>

#include "base/error.h"
#include "http/credential.h"

#define SB_DOCKER_CONFIG_LIMIT (1u << 20) /* bytes of a file */

struct sb_docker_config {
    char *path;
    json_t *root; /* an object */
};

/* 1: read, 0: there is no such file (root is then an empty object), -1. Free in every case. */
int sb_docker_config_read(const char *path, struct sb_docker_config *out, struct sb_error *err);
/* The same for text that is there already. */
int sb_docker_config_parse(const char *text, size_t len, const char *path,
                           struct sb_docker_config *out, struct sb_error *err);
void sb_docker_config_free(struct sb_docker_config *config);
#define sb_autodockerconfig __attribute__((cleanup(sb_docker_config_free), unused))

/* The helper of a host: that of credHelpers, otherwise credsStore; NULL. The config's own. */
const char *sb_docker_config_helper(const struct sb_docker_config *config, const char *host);
/* What a helper keeps the credentials of a host under. Static, or host itself. */
const char *sb_docker_config_server(const char *host);

/* Of auths: the entry of the longest path that holds the repository ("" for the host alone). 1: out
 * has it, with the file's name as source; 0: none, or an empty one; -1: it can't be right. */
int sb_docker_config_find(const struct sb_docker_config *config, const char *host,
                          const char *repository, struct sb_credential *out, struct sb_error *err);
/* Is there any entry for a path of that host? */
bool sb_docker_config_has_paths(const struct sb_docker_config *config, const char *host);

/* Sets the entry of a host; what else the file has stays as and where it is. credential NULL: an
 * entry that only says that a helper has it. */
void sb_docker_config_set(struct sb_docker_config *config, const char *host,
                          const struct sb_credential *credential);
/* True when there was one. */
bool sb_docker_config_remove(struct sb_docker_config *config, const char *host);
/* Atomic, mode 0600; makes the directory, and writes to where a symbolic link leads. */
int sb_docker_config_write(const struct sb_docker_config *config, struct sb_error *err);

#endif
