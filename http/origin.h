/*
 * http/origin: scheme, host and port of a URL; what credentials are for, and what a redirect may
 * leave or not.
 */
#ifndef SB_HTTP_ORIGIN_H
#define SB_HTTP_ORIGIN_H

#include <curl/curl.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/buffer.h"
#include "base/error.h"

/* Parses an absolute http: or https: URL; user and password in it are left out. NULL and err
 * otherwise. Free with curl_url_cleanup. */
CURLU *sb_url_parse(const char *text, struct sb_error *err);
/* Where url leads from base, a new URL; location may be relative. */
CURLU *sb_url_resolve(const CURLU *base, const char *location, struct sb_error *err);
char *sb_url_text(CURLU *url);      /* whole; the caller's to free */
char *sb_url_shown(CURLU *url);     /* without its query, for messages; the caller's to free */
char *sb_url_origin(CURLU *url);    /* "https://host", "http://host:5000"; the caller's to free */
char *sb_url_authority(CURLU *url); /* "host", "host:5000", "[::1]:5000"; the caller's to free */
bool sb_url_is_https(CURLU *url);

void sb_url_free(CURLU **url);
#define sb_autourl __attribute__((cleanup(sb_url_free), unused))

enum sb_reach {
    SB_REACH_ANY,
    SB_REACH_LOOPBACK,   /* this machine: 127.0.0.0/8, ::1, 0.0.0.0/8, :: */
    SB_REACH_PRIVATE,    /* networks of a site: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16,
                            100.64.0.0/10, fc00::/7, fec0::/10 */
    SB_REACH_LINK_LOCAL, /* 169.254.0.0/16, fe80::/10, and where clouds answer for metadata */
};
/* An address of version 6 that stands for one of version 4 is what that one is. */
enum sb_reach sb_reach_of(const struct sockaddr *address);
/* The same for an address as text, alone or with a port; SB_REACH_ANY when it is none. */
enum sb_reach sb_reach_of_text(const char *address);

/* True for localhost and loopback addresses; host as in references, with or without a port. */
bool sb_host_is_loopback(const char *host);

#endif
