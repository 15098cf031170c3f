/*
 * steps/fetch: files from the web that are known by their digest.
 *
 *     STORE/sbuild/caches/downloads/HEX      each is what its name says
 *
 * sbuild-http fetches them (registry/http.h), http and https only. Redirects are followed, but
 * never from elsewhere to this machine or its networks, and nothing is asked of the local link,
 * where clouds hand out credentials. Nothing is published before its digest was compared.
 */
#ifndef SB_STEPS_FETCH_H
#define SB_STEPS_FETCH_H

#include "base/digest.h"
#include "base/error.h"
#include "steps/execution.h"

/* Opens the file for reading, fetching it within so many seconds when the store doesn't have it. A
 * server that is away is waited for as registries are (registry/retry.h); registry, which may be
 * NULL, says how long, and tells who watches it. A file with another digest is SB_E_INTEGRITY, and
 * naming both; a server that does not answer is SB_E_NETWORK. The descriptor, or -1. */
struct sb_registry;
int sb_fetch(struct sb_store *store, struct sb_registry *registry, const char *url,
             const struct sb_digest *digest, uint64_t seconds, struct sb_step_log *log,
             struct sb_error *err);

/* A URL as people may see it: without a user's name and password, and without a query, which may
 * hold a token. The caller's to free. */
char *sb_fetch_public_url(const char *url);

#endif
