/*
 * http/proxy: by which proxy a host is asked, as the environment has it: HTTP_PROXY, HTTPS_PROXY,
 * ALL_PROXY and NO_PROXY, in capitals or small letters, read as the tools that pull and push images
 * (Docker, podman, skopeo: all Go's httpproxy) read them. libcurl's own reading knows neither ports
 * nor wildcards, and no HTTP_PROXY.
 */
#ifndef SB_HTTP_PROXY_H
#define SB_HTTP_PROXY_H

#include <stdbool.h>

/* Reads the environment, once, before there are threads. */
void sb_proxy_init(void);
/* The proxy's URL for CURLOPT_PROXY, "" for none; the caller's. host is without port and brackets.
 */
char *sb_proxy_find(bool https, const char *host, int port);
/* Whether a proxy of the environment has this port: then it may be it that is at loopback. */
bool sb_proxy_has_port(int port);

/* Whether a list as NO_PROXY has it names the host: names with what is below them (".a.b" and
 * "*.a.b" only that), addresses, networks (10.0.0.0/8), each but networks with or without a port;
 * "*" for all. What makes no sense names nothing. */
bool sb_proxy_bypassed(const char *no_proxy, const char *host, int port);

#endif
