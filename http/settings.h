/*
 * http/settings: what sbuild told this program about registry hosts, once, when it started it; read
 * by all threads, changed by none.
 *
 *     {"version": "0.1", "stall": 30,
 *      "hosts": [{"host": "registry.example.com:5000", "plain_http": true, "skip_verify": true,
 *                 "ca": "/path.pem", "client_cert": "/path.pem", "client_key": "/path.pem"}]}
 */
#ifndef SB_HTTP_SETTINGS_H
#define SB_HTTP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct sb_host_settings {
    char *host; /* "registry.example.com:5000", as in references */
    bool plain_http, skip_verify;
    char *ca, *client_cert, *client_key; /* NULL: none */
};

struct sb_http_settings {
    struct sb_host_settings *hosts;
    size_t host_count;
    int stall_seconds; /* a transfer without a byte for that long has failed */
};

/* The JSON above; keys that are missing have their defaults. On failure out is empty. */
int sb_http_settings_parse(const char *text, size_t len, struct sb_http_settings *out,
                           struct sb_error *err);
void sb_http_settings_free(struct sb_http_settings *settings);

/* NULL when nothing is set for that host. What "*" is set to is for hosts that aren't there. */
const struct sb_host_settings *sb_http_settings_host(const struct sb_http_settings *settings,
                                                     const char *host);

#endif
