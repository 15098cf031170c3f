/* Roles, through AWS's Security Token Service (query protocol, version 2011-06-15). */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "http/aws_endpoint.h"
#include "http/aws_error.h"
#include "http/aws_search.h"
#include "http/secret.h"
#include "http/simple.h"

enum { TOKEN_FILE_LIMIT = 64 << 10 };

static void add_parameter(struct sb_buf *form, const char *name, const char *value) {
    if (!value)
        return;
    sb_autosecret struct sb_buf text = {0};
    for (const char *p = value; *p; p++) {
        unsigned char c = (unsigned char)*p;
        char coded[4] = {(char)c, '\0'};
        if (!isalnum(c) && !strchr("-._~", c))
            snprintf(coded, sizeof coded, "%%%02X", c);
        sb_secret_adds(&text, coded);
    }
    sb_secret_adds(form, form->len ? "&" : "");
    sb_secret_adds(form, name);
    sb_secret_adds(form, "=");
    sb_secret_adds(form, sb_buf_text(&text));
}

static int keys_of_answer(const struct sb_simple_response *response, const struct sb_aws_role *role,
                          struct sb_aws_keys *out, struct sb_error *err) {
    if (response->status != 200) {
        struct sb_aws_error error = sb_aws_error_read(&response->body);
        sb_autofree char *what =
            sb_format("AWS STS gave no credentials for role %s", sb_text_shown(role->arn).text);
        return sb_aws_error_fail(response, &error, what, err);
    }
    sb_autofree char *expiration = sb_aws_element(&response->body, "Expiration");
    *out = (struct sb_aws_keys){
        .access_key = sb_aws_element(&response->body, "AccessKeyId"),
        .secret_key = sb_aws_element(&response->body, "SecretAccessKey"),
        .session_token = sb_aws_element(&response->body, "SessionToken"),
        .expires = expiration ? sb_aws_time(expiration) : 0,
    };
    if (sb_aws_keys_check(out, "the answer of AWS STS", err) == 0)
        return 0;
    sb_aws_keys_free(out);
    return -1;
}

static int read_token(const char *path, struct sb_buf *out, struct sb_error *err) {
    struct sb_error why = {0};
    if (sb_file_read(AT_FDCWD, path, TOKEN_FILE_LIMIT, out, &why) < 0)
        return sb_fail(err, SB_E_NETWORK, "web identity token: %s", why.message);
    while (out->len && isspace((unsigned char)out->data[out->len - 1]))
        out->data[--out->len] = '\0';
    if (!out->len)
        return sb_fail(err, SB_E_NETWORK, "web identity token: %s is empty", path);
    return 0;
}

static int make_form(const struct sb_aws_role *role, struct sb_buf *form, struct sb_error *err) {
    sb_autofree char *session = sb_format("sbuild-%lld", (long long)time(NULL));
    sb_autofree char *seconds = role->seconds > 0 ? sb_format("%d", role->seconds) : NULL;
    sb_autosecret struct sb_buf token = {0};
    if (role->token_file && read_token(role->token_file, &token, err) < 0)
        return -1;
    add_parameter(form, "Action", role->token_file ? "AssumeRoleWithWebIdentity" : "AssumeRole");
    add_parameter(form, "Version", "2011-06-15");
    add_parameter(form, "RoleArn", role->arn);
    add_parameter(form, "RoleSessionName", role->session ? role->session : session);
    add_parameter(form, "DurationSeconds", seconds);
    add_parameter(form, "ExternalId", role->token_file ? NULL : role->external_id);
    add_parameter(form, "WebIdentityToken", role->token_file ? sb_buf_text(&token) : NULL);
    return 0;
}

int sb_aws_assume_role(struct sb_aws_search *search, const struct sb_aws_role *role,
                       struct sb_aws_keys *out, struct sb_error *err) {
    const char *region = sb_aws_region(&search->config, search->region);
    sb_autofree char *url = sb_aws_endpoint("sts", region, &search->config, err);
    sb_autosecret struct sb_buf form = {0};
    if (!url || make_form(role, &form, err) < 0)
        return -1;
    sb_autostrings struct sb_strings headers = {0};
    sb_strings_add(&headers, "Content-Type: application/x-www-form-urlencoded; charset=utf-8");
    if (role->source) {
        struct sb_sigv4_request request = {.method = "POST",
                                           .url = url,
                                           .headers = &headers,
                                           .body = form.data,
                                           .body_len = form.len,
                                           .service = "sts",
                                           .region = region,
                                           .time = time(NULL)};
        sb_autostrings struct sb_strings signature = {0};
        sb_sigv4_sign(&request, role->source, &signature);
        sb_strings_copy(&headers, &signature);
    }
    struct sb_simple_request request = {
        .method = "POST", .url = url, .headers = &headers, .body = form.data, .body_len = form.len};
    sb_autosimple struct sb_simple_response response = {0};
    if (sb_simple(search->settings, &request, &response, err) < 0)
        return sb_error_context(err, "asking AWS STS for role %s", sb_text_shown(role->arn).text);
    if (response.status != 200 && role->source) {
        sb_secret_hide(&response.body, role->source->secret_key);
        sb_secret_hide(&response.body, role->source->session_token);
    }
    return keys_of_answer(&response, role, out, err);
}
