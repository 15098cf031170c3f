/*
 * http/tls: whom to trust, and who we are. Beside the system's authorities count those of the
 * settings and of Docker's certs.d directories; for each host its own.
 */
#ifndef SB_HTTP_TLS_H
#define SB_HTTP_TLS_H

#include <curl/curl.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http/settings.h"

/* What counts for one host; filled once, then read. Strings are its own. */
struct sb_tls {
    bool skip_verify;
    struct sb_strings authorities;  /* PEM files */
    char *client_cert, *client_key; /* NULL: none */
};

/* host as in references or URLs ("host", "host:5000"); settings: NULL for the system's alone. */
void sb_tls_find(const struct sb_settings *settings, const char *host, struct sb_tls *out);
void sb_tls_free(struct sb_tls *tls);

/* Sets up a handle for it; tls must live as long as the handle uses it. */
int sb_tls_apply(CURL *curl, const struct sb_tls *tls, struct sb_error *err);

#endif
