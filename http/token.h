/*
 * http/token: a bearer token, got from the token server that a registry names (distribution, "Token
 * Authentication Specification" and "OAuth2 Token Authentication").
 */
#ifndef SB_HTTP_TOKEN_H
#define SB_HTTP_TOKEN_H

#include <stdbool.h>

#include "base/error.h"
#include "http/auth_request.h"
#include "http/credential.h"
#include "http/scope.h"
#include "http/settings.h"

struct sb_token_request {
    const struct sb_auth_request *request; /* for which a token is wanted */
    const char *realm, *service;           /* service: NULL when the challenge named none */
    const struct sb_scopes *scopes;
    const struct sb_credential *credential; /* NULL: ask without */
    bool keep; /* ask for a refresh token as well, in place of the password */
};

struct sb_token {
    char *text;
    char *refresh;  /* NULL: none was given */
    double seconds; /* that it is good for, counted from the request */
};
void sb_token_free(struct sb_token *token);
#define sb_autotoken __attribute__((cleanup(sb_token_free), unused))

/* SB_E_NETWORK otherwise, with
 *   SB_REASON_PASSING  repeating may help
 *   SB_REASON_DENIED   the server refused: 401, 403
 *   another            it answered something else. */
int sb_token_fetch(const struct sb_http_settings *settings, const struct sb_token_request *request,
                   struct sb_token *out, struct sb_error *err);

/* What a server answered, as JSON; where names it in messages. */
int sb_token_parse(const char *text, size_t len, const char *where, struct sb_token *out,
                   struct sb_error *err);

/* The messages for who is refused. credential NULL: nobody. Return -1. */
int sb_auth_refused(const char *host, const struct sb_credential *credential, struct sb_error *err);
int sb_auth_denied(const struct sb_auth_request *request, const struct sb_credential *credential,
                   struct sb_error *err);

#endif
