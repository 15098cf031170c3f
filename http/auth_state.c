#include "http/auth_private.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "http/credentials.h"
#include "http/secret.h"

/* A token is renewed when a quarter of its time is left, or that many seconds. */
static const double renew_seconds = 30, least_seconds = 1;

double sb_auth_now(void) {
    struct timespec now; /* time in which the machine slept counts */
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- hosts and accounts ---- */

struct sb_auth *sb_auth_new(const struct sb_http_settings *settings) {
    struct sb_auth *auth = sb_alloc(sizeof *auth);
    auth->settings = settings;
    pthread_mutex_init(&auth->mutex, NULL);
    return auth;
}

static void free_token(struct cached_token *token) {
    sb_secret_free_text(&token->text);
    sb_scopes_free(&token->scopes);
}

static void free_account(struct account *account) {
    for (size_t i = 0; i < account->issuer_count; i++) {
        struct issuer *issuer = account->issuers[i];
        for (size_t k = 0; k < issuer->token_count; k++)
            free_token(&issuer->tokens[k]);
        free(issuer->tokens);
        sb_scopes_free(&issuer->asked);
        free(issuer->realm);
        free(issuer->service);
        free(issuer);
    }
    free(account->issuers);
    sb_credential_free(&account->credential);
    free(account->repository);
    free(account);
}

void sb_auth_free(struct sb_auth *auth) {
    if (!auth)
        return;
    for (size_t i = 0; i < auth->host_count; i++) {
        struct auth_host *host = auth->hosts[i];
        for (size_t k = 0; k < host->account_count; k++)
            free_account(host->accounts[k]);
        free(host->accounts);
        pthread_mutex_destroy(&host->fetch);
        free(host->host);
        free(host->origin);
        free(host);
    }
    free(auth->hosts);
    sb_credential_free(&auth->login);
    sb_secret_free_text(&auth->refresh);
    pthread_mutex_destroy(&auth->mutex);
    free(auth);
}

struct auth_host *sb_auth_host(struct sb_auth *auth, const struct sb_auth_request *request,
                               bool make) {
    for (size_t i = 0; i < auth->host_count; i++)
        if (!strcmp(auth->hosts[i]->host, request->host) &&
            !strcmp(auth->hosts[i]->origin, request->origin))
            return auth->hosts[i];
    if (!make)
        return NULL;
    struct auth_host *host = sb_alloc(sizeof *host);
    host->host = sb_strdup(request->host);
    host->origin = sb_strdup(request->origin);
    host->by_repository = -1;
    pthread_mutex_init(&host->fetch, NULL);
    SB_GROW(auth->hosts, auth->host_count, auth->host_cap);
    auth->hosts[auth->host_count++] = host;
    return host;
}

struct account *sb_auth_account(struct auth_host *host, const char *repository) {
    if (host->by_repository < 0)
        host->by_repository = sb_credentials_by_repository(host->host);
    if (!host->by_repository)
        repository = "";
    for (size_t i = 0; i < host->account_count; i++)
        if (!strcmp(host->accounts[i]->repository, repository))
            return host->accounts[i];
    struct account *account = sb_alloc(sizeof *account);
    account->repository = sb_strdup(repository);
    SB_GROW(host->accounts, host->account_count, host->account_cap);
    host->accounts[host->account_count++] = account;
    return account;
}

static bool same_text(const char *a, const char *b) {
    return a && b ? !strcmp(a, b) : a == b;
}

struct issuer *sb_auth_issuer(struct account *account, const char *realm, const char *service) {
    for (size_t i = 0; i < account->issuer_count; i++)
        if (!strcmp(account->issuers[i]->realm, realm) &&
            same_text(account->issuers[i]->service, service))
            return account->issuers[i];
    struct issuer *issuer = sb_alloc(sizeof *issuer);
    issuer->realm = sb_strdup(realm);
    issuer->service = service ? sb_strdup(service) : NULL;
    SB_GROW(account->issuers, account->issuer_count, account->issuer_cap);
    account->issuers[account->issuer_count++] = issuer;
    return issuer;
}

struct issuer *sb_auth_likely_issuer(struct account *account, const struct sb_scopes *scopes) {
    for (size_t i = account->issuer_count; i-- > 0;)
        if (sb_scopes_touch(&account->issuers[i]->asked, scopes))
            return account->issuers[i];
    return account->issuer_count ? account->issuers[account->issuer_count - 1] : NULL;
}

/* ---- tokens ---- */

struct cached_token *sb_auth_token(struct account *account, const struct sb_scopes *scopes,
                                   const char *avoid, bool expiring) {
    double now = sb_auth_now();
    for (size_t i = 0; i < account->issuer_count; i++)
        for (size_t k = 0; k < account->issuers[i]->token_count; k++) {
            struct cached_token *token = &account->issuers[i]->tokens[k];
            if (now < (expiring ? token->expires : token->renew) &&
                sb_scopes_cover(&token->scopes, scopes) && !(avoid && !strcmp(token->text, avoid)))
                return token;
        }
    return NULL;
}

struct cached_token *sb_auth_token_by_text(struct account *account, const char *text) {
    for (size_t i = 0; i < account->issuer_count; i++)
        for (size_t k = 0; k < account->issuers[i]->token_count; k++)
            if (!strcmp(account->issuers[i]->tokens[k].text, text))
                return &account->issuers[i]->tokens[k];
    return NULL;
}

static void remove_at(struct issuer *issuer, size_t k) {
    free_token(&issuer->tokens[k]);
    issuer->tokens[k] = issuer->tokens[--issuer->token_count];
}

void sb_auth_token_add(struct issuer *issuer, const struct sb_scopes *scopes, double asked,
                       struct sb_token *token) {
    for (size_t k = issuer->token_count; k-- > 0;)
        if (sb_scopes_cover(scopes, &issuer->tokens[k].scopes) ||
            issuer->tokens[k].expires <= sb_auth_now())
            remove_at(issuer, k);
    /* Good for the request that it was got for in any case, however long the server took. */
    double least = sb_auth_now() + least_seconds - asked;
    if (token->seconds < least)
        token->seconds = least;
    double margin = token->seconds / 4 < renew_seconds ? token->seconds / 4 : renew_seconds;
    SB_GROW(issuer->tokens, issuer->token_count, issuer->token_cap);
    struct cached_token *cached = &issuer->tokens[issuer->token_count++];
    *cached = (struct cached_token){.text = sb_steal(token->text),
                                    .fetched = asked,
                                    .renew = asked + token->seconds - margin,
                                    .expires = asked + token->seconds};
    sb_scopes_join(&cached->scopes, scopes);
}

void sb_auth_token_remove(struct account *account, const char *text) {
    for (size_t i = 0; i < account->issuer_count; i++)
        for (size_t k = account->issuers[i]->token_count; k-- > 0;)
            if (!strcmp(account->issuers[i]->tokens[k].text, text))
                remove_at(account->issuers[i], k);
}
