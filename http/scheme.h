/*
 * http/scheme: whether a registry is spoken to with TLS. Always, but where the settings say
 * otherwise; and a registry on this machine's loopback, for which nothing is set, is asked.
 */
#ifndef SB_HTTP_SCHEME_H
#define SB_HTTP_SCHEME_H

#include <stdbool.h>

#include "base/error.h"
#include "http/settings.h"

/* What was found out about loopback registries, shared by all threads. */
struct sb_schemes;
struct sb_schemes *sb_schemes_new(const struct sb_http_settings *settings); /* must outlive it */
void sb_schemes_free(struct sb_schemes *schemes);                           /* NULL is allowed */

/* host as in references. The first time for a loopback host: connects, and begins a TLS handshake
 * to see what comes back; about a millisecond. A host that does not answer is left to be asked
 * again. */
int sb_scheme_find(struct sb_schemes *schemes, const char *host, bool *out_https,
                   struct sb_error *err);

#endif
