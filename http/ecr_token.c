#include "http/ecr_token.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/ecr.h"
#include "base/json.h"
#include "base/memory.h"
#include "http/aws_credentials.h"
#include "http/aws_error.h"
#include "http/aws_sign.h"
#include "http/aws_sigv4.h"
#include "http/ecr_cache.h"
#include "http/secret.h"
#include "http/simple.h"

/* EARLY: before it expires a token is not given out any more. LEAST: kept in any case, so that a
 * clock that is wrong does not make each request ask for a token. WITHOUT: until public ECR's is
 * asked for again. */
enum {
    EARLY_SECONDS = 300,
    LEAST_SECONDS = 60,
    WITHOUT_SECONDS = 3600,
    TOKEN_LIMIT = 32 << 10,
};

struct token {
    char *host, *text; /* text: base64 of "AWS:password", as AWS gives it; "": ask without */
    int64_t until;     /* Unix seconds */
    struct sb_digest key;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct token *tokens; /* all guarded by lock */
static size_t token_count, token_cap;

static void token_drop(size_t i) {
    free(tokens[i].host);
    sb_secret_free_text(&tokens[i].text);
    tokens[i] = tokens[--token_count];
}

static const struct token *token_find(const char *host) {
    for (size_t i = 0; i < token_count; i++) {
        if (strcmp(tokens[i].host, host) != 0)
            continue;
        if (tokens[i].until > time(NULL))
            return &tokens[i];
        token_drop(i);
        break;
    }
    return NULL;
}

static const struct token *token_add(const char *host, const char *text, int64_t expires,
                                     const struct sb_digest *key) {
    int64_t least = time(NULL) + LEAST_SECONDS;
    SB_GROW(tokens, token_count, token_cap);
    tokens[token_count] = (struct token){.host = sb_strdup(host),
                                         .text = sb_strdup(text),
                                         .until = expires - EARLY_SECONDS,
                                         .key = *key};
    if (tokens[token_count].until < least)
        tokens[token_count].until = least;
    return &tokens[token_count++];
}

/* ---- asking AWS ---- */

struct call {
    const struct sb_http_settings *settings;
    struct sb_ecr_host ecr;
    char *url;
    struct sb_aws_keys keys;
};

static int refused(const struct call *call, const struct sb_simple_response *response,
                   bool *out_expired, struct sb_error *err) {
    struct sb_aws_error error = sb_aws_error_read(&response->body);
    sb_autofree char *what =
        sb_format("AWS gave no password for ECR (%s, credentials of %s)", call->ecr.region,
                  call->keys.source ? call->keys.source : "unknown origin");
    *out_expired = strstr(error.code, "ExpiredToken") != NULL;
    sb_aws_error_fail(response, &error, what, err);
    if (strstr(error.code, "AccessDenied"))
        return sb_error_hint(err, "the user or role needs the right %s:GetAuthorizationToken",
                             sb_ecr_service(&call->ecr));
    if (err->reason == SB_REASON_PASSING)
        return -1;
    return sb_error_hint(err, "check the credentials for AWS (AWS_PROFILE, AWS_ACCESS_KEY_ID, …) "
                              "and this machine's clock");
}

/* A list of one for a private registry, an object for public ECR. */
static int take_token(const struct call *call, const struct sb_buf *body, struct sb_buf *out_token,
                      int64_t *out_expires, struct sb_error *err) {
    struct sb_error ignored = {0};
    sb_autojson json_t *answer = sb_json_parse(sb_buf_text(body), body->len, &ignored);
    const json_t *data = json_object_get(answer, "authorizationData");
    if (json_is_array(data))
        data = json_array_get(data, 0);
    const char *token = sb_json_string(data, "authorizationToken", NULL);
    const json_t *expires = json_object_get(data, "expiresAt");
    if (!token || !*token || strlen(token) > TOKEN_LIMIT || !json_is_number(expires))
        return sb_fail(err, SB_E_NETWORK, "AWS's answer holds no password for ECR (%s)",
                       call->ecr.region);
    double when = json_number_value(expires);
    *out_expires = when > 0 && when < 1e12 ? (int64_t)when : 0;
    sb_secret_adds(out_token, token);
    return 0;
}

static int ask(const struct call *call, struct sb_buf *out_token, int64_t *out_expires,
               bool *out_expired, struct sb_error *err) {
    const struct sb_ecr_host *ecr = &call->ecr;
    sb_autofree char *body =
        ecr->is_public ? sb_strdup("{}") : sb_format("{\"registryIds\":[\"%s\"]}", ecr->account);
    sb_autostrings struct sb_strings headers = {0}, signature = {0};
    sb_strings_add(&headers, "Content-Type: application/x-amz-json-1.1");
    sb_strings_addf(&headers, "X-Amz-Target: %s.GetAuthorizationToken",
                    ecr->is_public ? "SpencerFrontendService"
                                   : "AmazonEC2ContainerRegistry_V20150921");
    struct sb_sigv4_request to_sign = {.method = "POST",
                                       .url = call->url,
                                       .headers = &headers,
                                       .body = body,
                                       .body_len = strlen(body),
                                       .service = sb_ecr_service(ecr),
                                       .region = ecr->region,
                                       .time = time(NULL)};
    sb_sigv4_sign(&to_sign, &call->keys, &signature);
    sb_strings_copy(&headers, &signature);
    struct sb_simple_request request = {.method = "POST",
                                        .url = call->url,
                                        .headers = &headers,
                                        .body = body,
                                        .body_len = strlen(body)};
    sb_autosimple struct sb_simple_response response = {0};
    if (sb_simple(call->settings, &request, &response, err) < 0)
        return sb_error_context(err, "asking AWS for a password of ECR");
    sb_secret_hide(&response.body, response.status == 200 ? NULL : call->keys.secret_key);
    sb_secret_hide(&response.body, response.status == 200 ? NULL : call->keys.session_token);
    if (response.status != 200)
        return refused(call, &response, out_expired, err);
    return take_token(call, &response.body, out_token, out_expires, err);
}

/* ---- a host's password ---- */

static struct sb_digest cache_key(const struct call *call) {
    const struct sb_ecr_host *ecr = &call->ecr;
    sb_autofree char *text = sb_format("%s\n%s\n%s\n%s\n%s\n", sb_ecr_service(ecr), ecr->region,
                                       ecr->account, call->url, call->keys.access_key);
    return sb_digest_of(text, strlen(text));
}

static const struct token *get_with_keys(const struct call *call, const char *host,
                                         bool *out_expired, struct sb_error *err) {
    struct sb_digest key = cache_key(call);
    sb_autosecret struct sb_buf text = {0};
    int64_t expires = 0, soon = time(NULL) + EARLY_SECONDS;
    if (!sb_ecr_cache_get(&key, soon, &text, &expires)) {
        if (ask(call, &text, &expires, out_expired, err) < 0)
            return NULL;
        if (expires > soon)
            sb_ecr_cache_put(&key, sb_buf_text(&text), expires);
    }
    return token_add(host, sb_buf_text(&text), expires, &key);
}

/* Keys that AWS says have expired are looked for once more: a file may have new ones. */
static const struct token *get(struct call *call, const char *host, struct sb_error *err) {
    for (int attempt = 0; attempt < 2; attempt++) {
        if (sb_aws_keys_get(call->settings, call->ecr.region, &call->keys, err) < 0)
            break;
        bool expired = false;
        const struct token *token = get_with_keys(call, host, &expired, err);
        sb_aws_keys_free(&call->keys);
        if (token)
            return token;
        if (!expired)
            break;
        sb_aws_keys_forget();
    }
    if (err->code == SB_E_NOT_FOUND)
        err->code = SB_E_NETWORK;
    return NULL;
}

/* Whoever has no rights on public ECR may still pull from it. */
static const struct token *find_or_get(const struct sb_http_settings *settings,
                                       const struct sb_ecr_host *ecr, const char *host,
                                       struct sb_error *err) {
    const struct token *token = token_find(host);
    if (token)
        return token;
    struct call call = {.settings = settings, .ecr = *ecr};
    sb_autofree char *service = sb_format("%s%s%s", sb_ecr_service(ecr), ecr->fips ? "-fips" : "",
                                          ecr->dual_stack ? "-dual" : "");
    call.url = sb_aws_url(service, ecr->region, err);
    token = call.url ? get(&call, host, err) : NULL;
    free(call.url);
    if (!token && ecr->is_public) {
        sb_error_clear(err);
        struct sb_digest none = {0};
        token = token_add(host, "", time(NULL) + WITHOUT_SECONDS, &none);
    }
    return token;
}

static int decode(const struct token *token, struct sb_buf *out_user, struct sb_buf *out_password,
                  struct sb_error *err) {
    size_t len = strlen(token->text);
    sb_autosecret struct sb_buf plain = {0};
    sb_buf_reserve(&plain, len + 4);
    int n = len % 4 ? -1
                    : EVP_DecodeBlock((unsigned char *)plain.data,
                                      (const unsigned char *)token->text, (int)len);
    if (n > 0)
        plain.data[n] = '\0'; /* the padding became NUL bytes */
    char *colon = n > 0 ? strchr(plain.data, ':') : NULL;
    if (!colon || colon == plain.data || !colon[1])
        return sb_fail(err, SB_E_NETWORK, "AWS's password for ECR is malformed");
    plain.len = (size_t)n;
    *colon = '\0';
    sb_secret_adds(out_user, plain.data);
    sb_secret_adds(out_password, colon + 1);
    return 1;
}

int sb_ecr_password(const struct sb_http_settings *settings, const char *host,
                    struct sb_buf *out_user, struct sb_buf *out_password, struct sb_error *err) {
    struct sb_error own = {0};
    err = err ? err : &own;
    struct sb_ecr_host ecr;
    if (!sb_ecr_host_parse(host, &ecr))
        return 0;
    pthread_mutex_lock(&lock);
    const struct token *token = find_or_get(settings, &ecr, host, err);
    int result = token && !*token->text ? 0 : -1;
    if (result < 0 && token)
        result = decode(token, out_user, out_password, err);
    pthread_mutex_unlock(&lock);
    return result < 0 ? sb_error_context(err, "%s", host) : result;
}

void sb_ecr_forget(const char *host, const char *password) {
    struct sb_error ignored = {0};
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < token_count; i++) {
        if (strcmp(tokens[i].host, host) != 0)
            continue;
        sb_autosecret struct sb_buf user = {0}, known = {0};
        if (decode(&tokens[i], &user, &known, &ignored) > 0 &&
            strcmp(sb_buf_text(&known), password) != 0)
            break; /* another thread has a new one already */
        sb_ecr_cache_remove(&tokens[i].key);
        token_drop(i);
        break;
    }
    pthread_mutex_unlock(&lock);
}
