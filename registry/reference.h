/*
 * registry/reference: names of images in registries, as Docker writes them
 * (github.com/distribution/reference; distribution-spec 1.1, "Pulling manifests").
 *
 *     alpine                              docker.io/library/alpine:latest
 *     user/app:v1                         docker.io/user/app:v1
 *     localhost/app, host:5000/a/b:tag    with a host: the first part has a "." or ":", or is
 *     [::1]:5000/a@sha256:…               localhost, or holds an upper-case letter
 *
 * Hosts become lower-case; "User/app", where nothing but that letter says "host", is refused.
 */
#ifndef SB_REGISTRY_REFERENCE_H
#define SB_REGISTRY_REFERENCE_H

#include <stdbool.h>

#include "base/digest.h"
#include "base/error.h"

#define SB_REPOSITORY_LIMIT 255 /* characters of host and repository together */
#define SB_TAG_LIMIT        128

struct sb_reference {
    char *host;       /* "docker.io", "registry.example.com:5000": lower case */
    char *repository; /* "library/alpine" */
    char *tag;        /* NULL when none was given */
    bool has_digest;
    struct sb_digest digest;
};

/* Every error is SB_E_USAGE and says which part is wrong, and what it may be. On failure out is
 * empty. */
int sb_reference_parse(const char *text, struct sb_reference *out, struct sb_error *err);
void sb_reference_free(struct sb_reference *reference);
void sb_reference_copy(struct sb_reference *to, const struct sb_reference *from);

/* True when the text begins with a host, so that it can only mean a registry. */
bool sb_reference_has_host(const char *text);

/* "host/repository[:tag][@digest]", whole; the caller's to free. */
char *sb_reference_text(const struct sb_reference *reference);
/* "host/repository". */
char *sb_reference_name(const struct sb_reference *reference);

bool sb_tag_valid(const char *tag);

/* Where requests for a host go: "registry-1.docker.io" for docker.io, otherwise the host. */
const char *sb_registry_endpoint(const char *host);

#endif
