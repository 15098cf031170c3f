/*
 * http/auth: which Authorization a request to a registry gets.
 *
 * One struct sb_auth holds credentials and tokens of all hosts, shared by all threads. For each
 * request http/transfer asks sb_auth_header first; when the server answers 401, it asks
 * sb_auth_challenge, and repeats the request if that gave another value. It sends the value only to
 * request->origin, never to where a redirect leads.
 */
#ifndef SB_HTTP_AUTH_H
#define SB_HTTP_AUTH_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http/auth_request.h"
#include "http/credential.h"
#include "http/settings.h"

struct sb_auth;

/* Reads nothing yet. settings must outlive it. */
struct sb_auth *sb_auth_new(const struct sb_http_settings *settings);
void sb_auth_free(struct sb_auth *auth); /* NULL is allowed */

/* What is known to be asked for without a new request's 401: a token, or credentials for a host
 * that asked for Basic before. Returns 1 and the value of the Authorization header ("Bearer …") in
 * out_value, 0 when there is none, or -1. Goes to the network only where the token server is known,
 * and the cache has no token for that scope that isn't about to expire. */
int sb_auth_header(struct sb_auth *auth, const struct sb_auth_request *request,
                   struct sb_buf *out_value, struct sb_error *err);

/* The server answered 401 with these response headers ("name: value", names in lower case), of
 * which those named www-authenticate matter. used is the value that was sent, NULL for none.
 * Returns 1 and a value to try, which is not the one that was used; 0 when there is nothing to try
 * (the 401 then goes to whoever asked); or -1: the token could not be had. Called at most twice for
 * a request. */
int sb_auth_challenge(struct sb_auth *auth, const struct sb_auth_request *request,
                      const struct sb_strings *headers, const char *used, struct sb_buf *out_value,
                      struct sb_error *err);

/* For a login: from now on these for every host; keep: token servers are asked for a refresh token
 * too. */
void sb_auth_log_in(struct sb_auth *auth, const struct sb_credential *credential, bool keep);
/* Has any host asked for credentials so far? */
bool sb_auth_was_asked(struct sb_auth *auth);
/* The refresh token that one gave, the caller's (a secret); NULL. */
char *sb_auth_refresh_token(struct sb_auth *auth);

#endif
