/*
 * http/proxy: libcurl finds proxies by itself in the environment (http_proxy, HTTPS_PROXY, NO_PROXY
 * and so on); this knows their ports, for a proxy may well be on this machine.
 */
#ifndef SB_HTTP_PROXY_H
#define SB_HTTP_PROXY_H

#include <stdbool.h>

/* Reads the environment; call before threads start. */
void sb_proxy_init(void);
bool sb_proxy_has_port(int port);

#endif
