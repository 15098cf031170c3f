/*
 * registry/http_options: what is set for requests, of each registry and of all: for who makes them
 * (registry/http) and for the program that does (registry/http_program).
 */
#ifndef SB_REGISTRY_HTTP_OPTIONS_H
#define SB_REGISTRY_HTTP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

/* What belongs to one registry host; strings are the owner's. Zero values are the defaults. */
struct sb_registry_host {
    char *host;        /* "registry.example.com:5000", as in references; lower case */
    bool plain_http;   /* speak HTTP without TLS; loopback hosts fall back to it by themselves */
    bool skip_verify;  /* accept any certificate */
    char *ca;          /* PEM file, beside the system's authorities and certs.d; NULL: none */
    char *client_cert; /* PEM files; NULL: those of certs.d, if any */
    char *client_key;
    struct sb_strings mirrors; /* "https://mirror.example.com[/prefix]": asked first, for reading */
    char *endpoint; /* "https://proxy.example.com[/prefix]": where requests for this host go
                       instead; NULL: to the host itself */
};
struct sb_registry_hosts {
    struct sb_registry_host *v;
    size_t n, cap;
};
/* NULL when nothing is set for that host. What "*" is set to is for hosts that aren't there. */
const struct sb_registry_host *sb_registry_hosts_find(const struct sb_registry_hosts *hosts,
                                                      const char *host);

struct sb_http_options {
    const struct sb_registry_hosts *hosts; /* must outlive the connection; may be NULL */
    int stall_seconds; /* a transfer without a byte for that long has failed; 0: 30 */
};

#endif
