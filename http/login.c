#include "http/login.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "base/visible.h"
#include "http/auth.h"
#include "http/credentials.h"
#include "http/prompt.h"
#include "http/proxy.h"
#include "http/secret.h"
#include "http/transfer.h"

struct arguments {
    const char *host, *endpoint, *settings, *user;
    bool password_stdin;
};

static int parse(int argc, char **argv, struct arguments *out, struct sb_error *err) {
    *out = (struct arguments){.host = argc > 1 ? argv[1] : NULL, .settings = "{}"};
    for (int i = 2; i < argc; i++) {
        const char **text = !strcmp(argv[i], "--endpoint")   ? &out->endpoint
                            : !strcmp(argv[i], "--settings") ? &out->settings
                            : !strcmp(argv[i], "--user")     ? &out->user
                                                             : NULL;
        if (text && i + 1 < argc)
            *text = argv[++i];
        else if (!strcmp(argv[i], "--password-stdin"))
            out->password_stdin = true;
        else
            return sb_fail(err, SB_E_USAGE, "sbuild-http %s: what is %s?", argv[0], argv[i]);
    }
    if (!out->host)
        return sb_fail(err, SB_E_USAGE, "sbuild-http %s: no host", argv[0]);
    if (!out->endpoint)
        out->endpoint = out->host;
    return 0;
}

/* On stderr, with nothing in it that could steer a terminal. */
__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...) {
    sb_autobuf struct sb_buf visible = {0};
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    sb_visible_add(&visible, text, (size_t)n, SB_VISIBLE_LINES);
    fputs(sb_buf_text(&visible), stderr);
    free(text);
}

static int end(const struct sb_error *err) {
    say("sbuild: error: %s\n", err->message);
    if (err->hint[0])
        say("  hint: %s\n", err->hint);
    return sb_error_exit_status(err->code);
}

/* ---- who it is ---- */

static int check(const char *what, const struct sb_buf *text, struct sb_error *err) {
    const char *chars = sb_buf_text(text);
    if (!*chars)
        return sb_fail(err, SB_E_USAGE, "login: the %s is empty", what);
    bool control = strlen(chars) != text->len;
    for (; *chars && !control; chars++)
        control = (unsigned char)*chars < ' ' || *chars == 0x7F;
    if (control)
        return sb_fail(err, SB_E_USAGE, "login: the %s has a control character, or several lines",
                       what);
    return 0;
}

static int ask(const struct arguments *arguments, struct sb_credential *out, struct sb_error *err) {
    sb_autosecret struct sb_buf user = {0}, password = {0};
    if (arguments->user)
        sb_buf_adds(&user, arguments->user);
    else if (arguments->password_stdin)
        return sb_fail(err, SB_E_USAGE, "login: --password-stdin needs --user");
    else if (sb_prompt("User: ", false, &user, err) < 0)
        return sb_error_hint(err, "give --user and --password-stdin");
    if (check("user name", &user, err) < 0)
        return -1;
    if (strchr(user.data, ':'))
        return sb_fail(err, SB_E_USAGE, "login: a user name can't have a \":\"");
    if (arguments->password_stdin ? sb_prompt_read_stdin(&password, err) < 0
                                  : sb_prompt("Password: ", true, &password, err) < 0)
        return arguments->password_stdin
                   ? -1
                   : sb_error_hint(err, "give the password to --password-stdin");
    if (check("password", &password, err) < 0)
        return -1;
    out->user = sb_strdup(user.data);
    out->password = sb_strdup(password.data);
    out->source = sb_strdup("this login");
    return 0;
}

/* ---- is it right? ---- */

static int take_status(void *data, int status, const struct sb_strings *headers,
                       struct sb_error *err) {
    (void)headers, (void)err;
    *(int *)data = status;
    return 0;
}

static int ignore_bytes(void *data, const void *bytes, size_t len, struct sb_error *err) {
    (void)data, (void)bytes, (void)len, (void)err;
    return 0;
}

static bool is_gone(void *data) {
    (void)data;
    return false;
}

/* The first request that every registry answers (distribution-spec, "Determining Support"). */
static int request_base(const struct arguments *arguments, struct sb_http_service *service,
                        int *out_status, struct sb_error *err) {
    struct sb_transfer *transfer = sb_transfer_new(service);
    struct sb_request request = {.method = sb_strdup("GET"),
                                 .host = sb_strdup(arguments->host),
                                 .endpoint = sb_strdup(arguments->endpoint),
                                 .target = sb_strdup("/v2/"),
                                 .body_fd = -1,
                                 .limit = 64 << 10};
    struct sb_receiver receiver = {take_status, ignore_bytes, is_gone, out_status};
    uint64_t sent, received;
    int result = sb_transfer_run(transfer, &request, &receiver, &sent, &received, err);
    sb_request_free(&request);
    sb_transfer_free(transfer);
    return result;
}

/* out_refresh (NULL: not wanted): a token that the registry gave, the caller's; NULL: none. */
static int verify(const struct arguments *arguments, const struct sb_http_settings *settings,
                  const struct sb_credential *credential, char **out_refresh,
                  struct sb_error *err) {
    struct sb_http_service service = {
        .settings = settings, .auth = sb_auth_new(settings), .schemes = sb_schemes_new(settings)};
    sb_auth_log_in(service.auth, credential, out_refresh);
    int status = 0;
    int result = request_base(arguments, &service, &status, err);
    if (result < 0) {
        if (err->reason == SB_REASON_DENIED)
            sb_error_hint(err, "nothing was changed");
    } else if (status == 401) {
        result = sb_fail(err, SB_E_NETWORK, "registry %s refused the credentials for %s",
                         arguments->host, sb_text_shown(credential->user).text);
    } else if (status != 200) {
        result = sb_fail(err, SB_E_NETWORK, "%s does not answer as a registry: status %d for /v2/",
                         arguments->host, status);
    } else if (!sb_auth_was_asked(service.auth)) {
        say("%s did not ask for credentials: these were not tried\n", arguments->host);
    }
    if (out_refresh)
        *out_refresh = sb_auth_refresh_token(service.auth);
    sb_auth_free(service.auth);
    sb_schemes_free(service.schemes);
    return result;
}

/* What is kept: a token that the registry gave, if it does, otherwise the password. */
static int exchange(const struct arguments *arguments, const struct sb_http_settings *settings,
                    struct sb_credential *credential, struct sb_error *err) {
    sb_autosecrettext char *refresh = NULL;
    if (verify(arguments, settings, credential, &refresh, err) < 0)
        return -1;
    sb_autocredential struct sb_credential token = {.user = sb_strdup(credential->user),
                                                    .identity_token = sb_steal(refresh),
                                                    .source = sb_strdup(credential->source)};
    struct sb_error ignored = {0};
    if (token.identity_token && verify(arguments, settings, &token, NULL, &ignored) == 0) {
        sb_credential_free(credential);
        *credential = token;
        token = (struct sb_credential){0};
    }
    return 0;
}

/* ---- the two commands ---- */

static int login(const struct arguments *arguments, struct sb_error *err) {
    struct sb_http_settings settings = {0};
    if (sb_http_settings_parse(arguments->settings, strlen(arguments->settings), &settings, err) <
        0)
        return -1;
    curl_global_init(CURL_GLOBAL_ALL);
    sb_proxy_init();
    sb_autocredential struct sb_credential credential = {0};
    sb_autofree char *where = NULL;
    int result = ask(arguments, &credential, err);
    if (result == 0)
        result = exchange(arguments, &settings, &credential, err);
    if (result == 0)
        result = sb_credentials_store(arguments->host, &credential, &where, err);
    if (result == 0)
        say("%s: logged in as %s; kept in %s\n", arguments->host,
            sb_text_shown(credential.user).text, where);
    sb_http_settings_free(&settings);
    curl_global_cleanup();
    return result;
}

int sb_login_main(int argc, char **argv) {
    struct sb_error err = {0};
    struct arguments arguments;
    if (parse(argc, argv, &arguments, &err) < 0 || login(&arguments, &err) < 0)
        return end(&err);
    return 0;
}

int sb_logout_main(int argc, char **argv) {
    struct sb_error err = {0};
    struct arguments arguments;
    sb_autostrings struct sb_strings where = {0};
    if (parse(argc, argv, &arguments, &err) < 0 ||
        sb_credentials_erase(arguments.host, &where, &err) < 0)
        return end(&err);
    for (size_t i = 0; i < where.n; i++)
        say("%s: logged out; gone from %s\n", arguments.host, where.v[i]);
    if (where.n == 0)
        say("%s: no credentials are kept\n", arguments.host);
    return 0;
}
