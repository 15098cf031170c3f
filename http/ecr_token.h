/*
 * http/ecr_token: passwords of ECR, which AWS gives out for 12 hours (GetAuthorizationToken).
 *
 * Kept in the process, and for the next ones in $XDG_CACHE_HOME/sbuild/ecr-tokens.json (mode 0600;
 * docs/formats.md), until 5 minutes before they expire.
 */
#ifndef SB_HTTP_ECR_TOKEN_H
#define SB_HTTP_ECR_TOKEN_H

#include "base/buffer.h"
#include "base/error.h"
#include "http/settings.h"

/* For a host of ECR (base/ecr): 1 and the user ("AWS") and password; 0 when the host isn't one, or
 * is public ECR and AWS gives no password (there are no credentials, or without the right): then
 * ask without; or -1: SB_E_NETWORK. The caller asks only where docker's configuration knows nothing
 * of the host. From any thread. */
int sb_ecr_password(const struct sb_http_settings *settings, const char *host,
                    struct sb_buf *out_user, struct sb_buf *out_password, struct sb_error *err);

/* The registry answered 401 to that password: it will not be given out again. */
void sb_ecr_forget(const char *host, const char *password);

#endif
