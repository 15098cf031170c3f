#include "http/auth.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/text.h"
#include "http/auth_private.h"
#include "http/base64.h"
#include "http/challenge.h"
#include "http/credentials.h"
#include "http/ecr_token.h"
#include "http/realm.h"
#include "http/secret.h"

/* A token that is younger, and refused, is no matter of its age. */
static const double fresh_seconds = 5;

static const char ecr_source[] = "AWS";

static void set_value(struct sb_buf *out, const char *scheme, const char *value) {
    out->len = 0;
    sb_secret_adds(out, scheme);
    sb_secret_adds(out, value);
}

static void basic_value(const struct sb_credential *credential, struct sb_buf *out) {
    sb_autosecret struct sb_buf plain = {0};
    sb_secret_adds(&plain, credential->user);
    sb_secret_adds(&plain, ":");
    sb_secret_adds(&plain, credential->password);
    set_value(out, "Basic ", "");
    sb_base64_encode(plain.data, plain.len, out);
}

/* ---- credentials ---- */

/* Where docker's files know nothing of a registry of Amazon, AWS is asked. */
static int find_ecr(struct sb_auth *auth, const char *host, struct sb_credential *out,
                    struct sb_error *err) {
    sb_autosecret struct sb_buf user = {0}, password = {0};
    int found = sb_ecr_password(auth->settings, host, &user, &password, err);
    if (found > 0)
        *out = (struct sb_credential){.user = sb_strdup(user.data),
                                      .password = sb_strdup(password.data),
                                      .source = sb_strdup(ecr_source)};
    return found;
}

static bool is_ecr(const struct sb_credential *credential) {
    return credential->source && !strcmp(credential->source, ecr_source);
}

static int find_credential(struct sb_auth *auth, const struct auth_host *host,
                           const char *repository, struct sb_credential *out,
                           struct sb_error *err) {
    *out = (struct sb_credential){0};
    if (auth->logging_in) {
        sb_credential_copy(out, &auth->login);
        return 1;
    }
    int found = sb_credentials_find(host->host, repository, out, err);
    if (found < 0 && err) {
        err->code = SB_E_NETWORK;
        sb_error_reason(err, SB_REASON_DENIED);
    }
    return found ? found : find_ecr(auth, host->host, out, err);
}

/* With host->fetch held. NULL in *out when there is none. again: it was refused, so look whether
 * there is another by now; -1 without an error when there isn't. */
static int load_credential(struct sb_auth *auth, struct auth_host *host, struct account *account,
                           bool again, const struct sb_credential **out, struct sb_error *err) {
    sb_assert_locked(&host->fetch);
    bool ecr = account->loaded && is_ecr(&account->credential);
    if (ecr && again)
        sb_ecr_forget(host->host, account->credential.password);
    if (!account->loaded || again || ecr) { /* ecr: it may have been renewed, see http/ecr_token */
        sb_autocredential struct sb_credential found = {0};
        if ((ecr && !again ? find_ecr(auth, host->host, &found, err)
                           : find_credential(auth, host, account->repository, &found, err)) < 0)
            return -1;
        if (again && sb_credential_equal(&found, &account->credential))
            return -1;
        pthread_mutex_lock(&auth->mutex);
        sb_credential_free(&account->credential);
        account->credential = found;
        found = (struct sb_credential){0};
        account->loaded = true;
        pthread_mutex_unlock(&auth->mutex);
    }
    *out = sb_credential_given(&account->credential) ? &account->credential : NULL;
    return 0;
}

/* ---- Basic ---- */

static int basic_challenge(struct sb_auth *auth, const struct sb_auth_request *request,
                           struct auth_host *host, struct account *account, const char *used,
                           struct sb_buf *out_value, struct sb_error *err) {
    const struct sb_credential *credential;
    if (load_credential(auth, host, account, false, &credential, err) < 0)
        return -1;
    if (!credential)
        return sb_auth_refused(request->host, NULL, err);
    if (!credential->password) {
        sb_fail(err, SB_E_NETWORK, "registry %s wants a password, and %s has only a token for it",
                request->host, credential->source);
        sb_error_reason(err, SB_REASON_DENIED);
        return sb_error_hint(err, "sbuild login %s", request->host);
    }
    basic_value(credential, out_value);
    if (!used || strcmp(used, out_value->data) != 0)
        return 1;
    if (load_credential(auth, host, account, true, &credential, NULL) < 0 || !credential ||
        !credential->password)
        return sb_auth_refused(request->host, &account->credential, err);
    basic_value(credential, out_value);
    return 1;
}

static int known_basic(struct sb_auth *auth, struct auth_host *host, struct account *account,
                       struct sb_buf *out_value) {
    const struct sb_credential *credential;
    if (load_credential(auth, host, account, false, &credential, NULL) < 0 || !credential ||
        !credential->password)
        return 0;
    basic_value(credential, out_value);
    return 1;
}

/* ---- Bearer ---- */

/* With host->fetch held. */
static int fetch(struct sb_auth *auth, const struct sb_auth_request *request,
                 struct account *account, struct issuer *issuer, const struct sb_scopes *scopes,
                 struct sb_error *err) {
    bool given = sb_credential_given(&account->credential);
    struct sb_token_request wanted = {.request = request,
                                      .realm = issuer->realm,
                                      .service = issuer->service,
                                      .scopes = scopes,
                                      .credential = given ? &account->credential : NULL,
                                      .keep = auth->keep_refresh};
    sb_autotoken struct sb_token token = {0};
    double asked = sb_auth_now();
    if (sb_token_fetch(auth->settings, &wanted, &token, err) < 0)
        return -1;
    pthread_mutex_lock(&auth->mutex);
    if (token.refresh) {
        sb_secret_free_text(&auth->refresh);
        auth->refresh = sb_steal(token.refresh);
    }
    sb_auth_token_add(issuer, scopes, asked, &token);
    pthread_mutex_unlock(&auth->mutex);
    return 0;
}

/* For all that was asked for so far at once, so that one token does for all of it; or, where the
 * server does not like that, for wanted alone. Credentials that are refused may have been replaced
 * meanwhile (helpers give out some that expire). With host->fetch held. */
static int fetch_joined(struct sb_auth *auth, const struct sb_auth_request *request,
                        struct auth_host *host, struct account *account, struct issuer *issuer,
                        const struct sb_scopes *wanted, struct sb_error *err) {
    sb_assert_locked(&host->fetch);
    sb_autoscopes struct sb_scopes all = {0};
    pthread_mutex_lock(&auth->mutex);
    sb_scopes_join(&issuer->asked, wanted);
    sb_scopes_join(&all, issuer->alone ? wanted : &issuer->asked);
    pthread_mutex_unlock(&auth->mutex);
    bool joined = sb_scopes_cover(&all, wanted) && !sb_scopes_cover(wanted, &all);
    if (joined) {
        if (fetch(auth, request, account, issuer, &all, err) == 0)
            return 0;
        if (err->reason == SB_REASON_PASSING)
            return -1;
    }
    if (fetch(auth, request, account, issuer, wanted, err) == 0) {
        pthread_mutex_lock(&auth->mutex);
        issuer->alone |= joined;
        pthread_mutex_unlock(&auth->mutex);
        return 0;
    }
    const struct sb_credential *other;
    if (err->reason != SB_REASON_DENIED || !sb_credential_given(&account->credential) ||
        load_credential(auth, host, account, true, &other, NULL) < 0)
        return -1;
    return fetch(auth, request, account, issuer, wanted, err);
}

/* Takes a token from the cache. */
static bool take_token(struct sb_auth *auth, struct account *account,
                       const struct sb_scopes *scopes, const char *avoid, bool expiring,
                       struct sb_buf *out_value) {
    pthread_mutex_lock(&auth->mutex);
    struct cached_token *token = sb_auth_token(account, scopes, avoid, expiring);
    if (token)
        set_value(out_value, "Bearer ", token->text);
    pthread_mutex_unlock(&auth->mutex);
    return token != NULL;
}

/* A token that isn't avoid, from the cache or the server. With host->fetch held. */
static int obtain(struct sb_auth *auth, const struct sb_auth_request *request,
                  struct auth_host *host, struct account *account, struct issuer *issuer,
                  const struct sb_scopes *wanted, const char *avoid, struct sb_buf *out_value,
                  struct sb_error *err) {
    const struct sb_credential *credential;
    if (load_credential(auth, host, account, false, &credential, err) < 0)
        return -1;
    if (credential && credential->registry_token) {
        if (avoid && !strcmp(avoid, credential->registry_token))
            return sb_auth_refused(request->host, credential, err);
        set_value(out_value, "Bearer ", credential->registry_token);
        return 1;
    }
    if (take_token(auth, account, wanted, avoid, false, out_value))
        return 1;
    int failed = fetch_joined(auth, request, host, account, issuer, wanted, err);
    /* When it could not be renewed, what is left of the old one's time may do. */
    if (take_token(auth, account, wanted, avoid, true, out_value))
        return 1;
    return failed ? -1 : sb_auth_denied(request, credential, err);
}

/* Was this very token refused for what it does not allow, rather than for its age? Some servers say
 * so (RFC 6750, 3.1). */
static bool is_denied(const struct cached_token *token, const struct sb_scopes *wanted,
                      const char *error) {
    double now = sb_auth_now();
    if (now >= token->expires || !sb_scopes_cover(&token->scopes, wanted))
        return false;
    if (error && !strcmp(error, "invalid_token"))
        return false;
    return now - token->fetched < fresh_seconds || (error && !strcmp(error, "insufficient_scope"));
}

static int bearer_challenge(struct sb_auth *auth, const struct sb_auth_request *request,
                            struct auth_host *host, struct account *account,
                            const struct sb_challenge *challenge, const char *used,
                            struct sb_buf *out_value, struct sb_error *err) {
    sb_autoscopes struct sb_scopes wanted = {0};
    sb_scopes_add(&wanted, request->scope);
    sb_scopes_add(&wanted, challenge->scope);
    const char *avoid = used && !strncmp(used, "Bearer ", 7) ? used + 7 : NULL;
    pthread_mutex_lock(&auth->mutex);
    struct issuer *issuer = sb_auth_issuer(account, challenge->realm, challenge->service);
    struct cached_token *refused = avoid ? sb_auth_token_by_text(account, avoid) : NULL;
    bool denied = refused && is_denied(refused, &wanted, challenge->error);
    if (avoid && !denied)
        sb_auth_token_remove(account, avoid);
    pthread_mutex_unlock(&auth->mutex);
    if (!denied)
        return obtain(auth, request, host, account, issuer, &wanted, avoid, out_value, err);
    if (sb_credential_given(&account->credential))
        return sb_auth_denied(request, &account->credential, err);
    return sb_auth_refused(request->host, NULL, err);
}

/* ---- the two questions ---- */

/* Whom to ask for a token that the cache does not have. */
static int renew(struct sb_auth *auth, const struct sb_auth_request *request,
                 struct auth_host *host, struct account *account, const struct sb_scopes *wanted,
                 struct sb_buf *out_value, struct sb_error *err) {
    pthread_mutex_lock(&auth->mutex);
    struct issuer *issuer = sb_auth_likely_issuer(account, wanted);
    pthread_mutex_unlock(&auth->mutex);
    if (!issuer) /* another account: the registry says which server it is for this one */
        return 0;
    return obtain(auth, request, host, account, issuer, wanted, NULL, out_value, err);
}

int sb_auth_header(struct sb_auth *auth, const struct sb_auth_request *request,
                   struct sb_buf *out_value, struct sb_error *err) {
    sb_autofree char *repository = sb_scope_repository(request->scope);
    sb_autoscopes struct sb_scopes wanted = {0};
    sb_scopes_add(&wanted, request->scope);
    pthread_mutex_lock(&auth->mutex);
    struct auth_host *host = sb_auth_host(auth, request, false);
    if (!host || host->scheme == AUTH_NONE) {
        pthread_mutex_unlock(&auth->mutex);
        return 0;
    }
    bool basic = host->scheme == AUTH_BASIC;
    struct account *account = sb_auth_account(host, repository);
    pthread_mutex_unlock(&auth->mutex);
    if (!basic && take_token(auth, account, &wanted, NULL, false, out_value))
        return 1;
    pthread_mutex_lock(&host->fetch);
    struct sb_error why = {0};
    int result = basic ? known_basic(auth, host, account, out_value)
                       : renew(auth, request, host, account, &wanted, out_value, &why);
    pthread_mutex_unlock(&host->fetch);
    if (result >= 0)
        return result;
    if (why.reason != SB_REASON_PASSING)
        return 0; /* the server may want something else for this: let it say so */
    if (err)
        *err = why;
    return -1;
}

/* All challenges of an answer. One header that makes no sense does not spoil the others. */
static int parse_challenges(const struct sb_strings *headers, struct sb_challenges *out,
                            struct sb_error *err) {
    static const char name[] = "www-authenticate:";
    int failed = 0;
    for (size_t i = 0; i < headers->n; i++) {
        if (strncmp(headers->v[i], name, sizeof name - 1) != 0)
            continue;
        const char *value = headers->v[i] + sizeof name - 1;
        if (out->n < SB_CHALLENGE_LIMIT &&
            sb_challenges_parse(value + strspn(value, " \t"), out, err) < 0)
            failed = -1;
    }
    return failed;
}

static int unsafe_origin(const struct sb_auth_request *request, struct sb_error *err) {
    sb_fail(err, SB_E_NETWORK, "registry %s wants credentials, and %s is without TLS",
            request->host, request->origin);
    sb_error_reason(err, SB_REASON_DENIED);
    return sb_error_hint(err,
                         "if they may go over the network in the clear: registries: %s: "
                         "plain_http: true in ~/.config/sbuild/config.yaml",
                         request->host);
}

int sb_auth_challenge(struct sb_auth *auth, const struct sb_auth_request *request,
                      const struct sb_strings *headers, const char *used, struct sb_buf *out_value,
                      struct sb_error *err) {
    struct sb_error own;
    err = err ? err : &own;
    sb_autochallenges struct sb_challenges list = {0};
    int malformed = parse_challenges(headers, &list, err);
    const struct sb_challenge *bearer = sb_challenges_find(&list, "bearer");
    const struct sb_challenge *basic = sb_challenges_find(&list, "basic");
    if (bearer && !bearer->realm)
        bearer = NULL;
    if (!bearer && !basic) {
        if (malformed)
            return sb_error_context(err, "registry %s", request->host);
        if (list.n == 0)
            return 0;
        sb_fail(err, SB_E_NETWORK,
                "registry %s wants authentication by %s; Bearer and Basic are "
                "what sbuild has",
                request->host, sb_text_shown(list.v[0].scheme).text);
        return sb_error_reason(err, SB_REASON_DENIED);
    }
    if (!sb_realm_origin_is_safe(auth->settings, request->host, request->origin))
        return unsafe_origin(request, err);
    sb_autofree char *repository = sb_scope_repository(request->scope);
    pthread_mutex_lock(&auth->mutex);
    struct auth_host *host = sb_auth_host(auth, request, true);
    host->scheme = bearer ? AUTH_BEARER : AUTH_BASIC;
    struct account *account = sb_auth_account(host, repository);
    pthread_mutex_unlock(&auth->mutex);
    pthread_mutex_lock(&host->fetch);
    int result = bearer
                     ? bearer_challenge(auth, request, host, account, bearer, used, out_value, err)
                     : basic_challenge(auth, request, host, account, used, out_value, err);
    pthread_mutex_unlock(&host->fetch);
    return result;
}

/* ---- logging in ---- */

void sb_auth_log_in(struct sb_auth *auth, const struct sb_credential *credential, bool keep) {
    auth->logging_in = true;
    auth->keep_refresh = keep;
    sb_credential_free(&auth->login);
    sb_credential_copy(&auth->login, credential);
}

bool sb_auth_was_asked(struct sb_auth *auth) {
    pthread_mutex_lock(&auth->mutex);
    bool asked = auth->host_count > 0;
    pthread_mutex_unlock(&auth->mutex);
    return asked;
}

char *sb_auth_refresh_token(struct sb_auth *auth) {
    return sb_steal(auth->refresh);
}
