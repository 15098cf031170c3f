/*
 * http/tls: whom to trust, and who we are.
 *
 * Beside the system's authorities (or those that SSL_CERT_FILE and SSL_CERT_DIR name) count those
 * of the settings and of certs.d directories, laid out as Docker does
 * (docs.docker.com/engine/security/ certificates): HOST[:PORT]/NAME.crt is an authority, NAME.cert
 * with NAME.key a client certificate. They are looked for in ~/.config/containers/certs.d,
 * ~/.docker/certs.d, ~/.config/docker/certs.d, /etc/containers/certs.d and /etc/docker/certs.d.
 */
#ifndef SB_HTTP_TLS_H
#define SB_HTTP_TLS_H

#include <curl/curl.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http/settings.h"

/* What counts for one host. Strings are its own. */
struct sb_tls {
    bool skip_verify;
    struct sb_strings authorities;  /* PEM files beside the system's */
    char *client_cert, *client_key; /* PEM files; NULL: none */
    const char *unusable; /* the authority that could not be read, after an exchange failed */
};

/* host as in references or URLs ("host", "host:5000"). registry: in whose name that host is asked
 * (it redirected there, or its tokens come from there), NULL if it is the same; what counts for the
 * registry then counts for host as well, but for client certificates. */
int sb_tls_find(const struct sb_http_settings *settings, const char *host, const char *registry,
                struct sb_tls *out, struct sb_error *err);
void sb_tls_free(struct sb_tls *tls);
#define sb_autotls __attribute__((cleanup(sb_tls_free), unused))

/* Sets up a handle, which must not be used longer than tls lives. */
void sb_tls_apply(CURL *curl, struct sb_tls *tls);

#endif
