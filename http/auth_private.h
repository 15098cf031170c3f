/*
 * http/auth_private: what http/auth knows of hosts, accounts and tokens (auth_state.c).
 *
 * Two locks: auth->mutex for looking and changing, never held while waiting for anything; and
 * host->fetch, taken first, by whoever asks a token server or looks for credentials of that host,
 * so that one thread does and the others take the result. What an account's credential is changes
 * only with both held, so either is enough to read it.
 */
#ifndef SB_HTTP_AUTH_PRIVATE_H
#define SB_HTTP_AUTH_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "http/auth.h"
#include "http/credential.h"
#include "http/scope.h"
#include "http/token.h"

struct cached_token {
    struct sb_scopes scopes;
    char *text;
    double fetched, renew, expires; /* seconds, as sb_auth_now */
};

/* A token server, as one account of one host asks it. Some registries have one for each repository.
 */
struct issuer {
    char *realm, *service;  /* service: NULL when the challenge named none */
    struct sb_scopes asked; /* all that tokens were wanted for */
    bool alone; /* it refuses requests for more than one thing: don't join what was asked */
    struct cached_token *tokens;
    size_t token_count, token_cap;
};

struct account {
    char *repository; /* "" when the credentials are those of the host */
    bool loaded;      /* credential is what was found; nothing, when it is empty */
    struct sb_credential credential;
    struct issuer **issuers;
    size_t issuer_count, issuer_cap;
};

enum auth_scheme {
    AUTH_NONE, /* it asked for nothing yet */
    AUTH_BASIC,
    AUTH_BEARER,
};

struct auth_host {
    char *host, *origin;
    enum auth_scheme scheme;
    int by_repository; /* 1, 0; -1: not known yet */
    pthread_mutex_t fetch;
    struct account **accounts;
    size_t account_count, account_cap;
};

struct sb_auth {
    const struct sb_http_settings *settings;
    pthread_mutex_t mutex;
    struct auth_host **hosts;
    size_t host_count, host_cap;
    /* For a login: these instead of what is configured. */
    struct sb_credential login;
    bool logging_in, keep_refresh;
    char *refresh; /* that the token server gave; NULL */
};

double sb_auth_now(void);

/* All of these with auth->mutex held. */

/* NULL when it is not known and make is false. */
struct auth_host *sb_auth_host(struct sb_auth *auth, const struct sb_auth_request *request,
                               bool make);
struct account *sb_auth_account(struct auth_host *host, const char *repository);
struct issuer *sb_auth_issuer(struct account *account, const char *realm, const char *service);
/* The issuer to ask for scopes that no challenge was seen for: one that was asked for the same
 * repositories, otherwise the latest. NULL: none yet. */
struct issuer *sb_auth_likely_issuer(struct account *account, const struct sb_scopes *scopes);

/* A token of the account that covers the scopes and isn't avoid (NULL: any). One that is about to
 * expire only when expiring is true. */
struct cached_token *sb_auth_token(struct account *account, const struct sb_scopes *scopes,
                                   const char *avoid, bool expiring);
struct cached_token *sb_auth_token_by_text(struct account *account, const char *text);
/* Takes the text of token. Those that the new one covers go. */
void sb_auth_token_add(struct issuer *issuer, const struct sb_scopes *scopes, double asked,
                       struct sb_token *token);
void sb_auth_token_remove(struct account *account, const char *text);

#endif
