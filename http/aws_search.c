#include "http/aws_search.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "http/secret.h"

static bool printable(const char *text) {
    if (!*text)
        return false;
    for (; *text; text++)
        if (!isgraph((unsigned char)*text))
            return false;
    return true;
}

int sb_aws_keys_check(const struct sb_aws_keys *keys, const char *what, struct sb_error *err) {
    if (!keys->access_key || !printable(keys->access_key))
        return sb_fail(err, SB_E_NETWORK, "%s: the access key ID is missing or malformed", what);
    if (!keys->secret_key || !printable(keys->secret_key))
        return sb_fail(err, SB_E_NETWORK, "%s: the secret access key is missing or malformed",
                       what);
    if (keys->session_token && !printable(keys->session_token))
        return sb_fail(err, SB_E_NETWORK, "%s: the session token is malformed", what);
    return 0;
}

int64_t sb_aws_time(const char *text) {
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest)
        return 0;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    int hours = 0, minutes = 0;
    char sign;
    if (sscanf(rest, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && strchr("+-", sign))
        return timegm(&tm) - (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return !strcmp(rest, "Z") ? timegm(&tm) : 0;
}

static char *copy_text(const json_t *object, const char *key) {
    const char *text = sb_json_string(object, key, NULL);
    return text ? sb_strdup(text) : NULL;
}

int sb_aws_keys_of_json(const struct sb_buf *text, const char *token_name, const char *what,
                        struct sb_aws_keys *out, struct sb_error *err) {
    struct sb_error why = {0}; /* where the parser stopped might be told in the keys' own letters */
    sb_autojson json_t *value = sb_json_parse(text->data ? text->data : "", text->len, &why);
    if (!json_is_object(value))
        return sb_fail(err, SB_E_NETWORK, "%s: the answer is no JSON object", what);
    const char *code = sb_json_string(value, "Code", NULL);
    if (code && strcmp(code, "Success") != 0)
        return sb_fail(err, SB_E_NETWORK, "%s: %s: %s", what, sb_text_shown(code).text,
                       sb_text_shown(sb_json_string(value, "Message", "")).text);
    *out = (struct sb_aws_keys){
        .access_key = copy_text(value, "AccessKeyId"),
        .secret_key = copy_text(value, "SecretAccessKey"),
        .session_token = copy_text(value, token_name),
    };
    const char *expiration = sb_json_string(value, "Expiration", NULL);
    if (sb_aws_keys_check(out, what, err) < 0) {
        sb_aws_keys_free(out);
        return -1;
    }
    if (!expiration)
        return 0;
    out->expires = sb_aws_time(expiration);
    if (out->expires > time(NULL))
        return 0;
    sb_aws_keys_free(out);
    return sb_fail(err, SB_E_NETWORK, "%s: the credentials expired at %s", what,
                   sb_text_shown(expiration).text);
}

int sb_aws_find_environment(struct sb_aws_search *search, struct sb_aws_keys *out,
                            struct sb_error *err) {
    const char *access = sb_aws_env("AWS_ACCESS_KEY_ID");
    const char *secret = sb_aws_env("AWS_SECRET_ACCESS_KEY");
    const char *token = sb_aws_env("AWS_SESSION_TOKEN");
    if (!access && !secret) {
        sb_buf_adds(&search->tried, "environment: AWS_ACCESS_KEY_ID is not set");
        return 0;
    }
    if (!access || !secret)
        return sb_fail(err, SB_E_NETWORK, "%s is set, but %s is not",
                       access ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                       access ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    *out = (struct sb_aws_keys){.access_key = sb_strdup(access),
                                .secret_key = sb_strdup(secret),
                                .session_token = token ? sb_strdup(token) : NULL};
    if (sb_aws_keys_check(out, "AWS_ACCESS_KEY_ID and the like", err) < 0) {
        sb_aws_keys_free(out);
        return -1;
    }
    return 1;
}
