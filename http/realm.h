/*
 * http/realm: the token server that a registry names, in a header that anyone may have written: may
 * it be asked, and may it get credentials?
 */
#ifndef SB_HTTP_REALM_H
#define SB_HTTP_REALM_H

#include <stdbool.h>

#include "base/error.h"
#include "http/auth_request.h"
#include "http/origin.h"
#include "http/settings.h"

/* May what is secret go there? By TLS always; without only on this machine, or where the settings
 * say so. */
bool sb_realm_origin_is_safe(const struct sb_http_settings *settings, const char *host,
                             const char *origin);

/* The URL of a realm that may be asked: https, or http where credentials may go without TLS; never
 * an address that is the machine's own matter (169.254.169.254). NULL and SB_E_NETWORK otherwise.
 * Free with curl_url_cleanup. */
CURLU *sb_realm_parse(const struct sb_http_settings *settings,
                      const struct sb_auth_request *request, const char *realm,
                      struct sb_error *err);

#endif
