/* The part of the chain that asks the machine: a container's agent, an instance's metadata. */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "http/aws_search.h"
#include "http/secret.h"
#include "http/simple.h"

#define CONTAINER_HOST "http://169.254.170.2"
#define INSTANCE_HOST  "http://169.254.169.254"
#define INSTANCE_HOST6 "http://[fd00:ec2::254]"

enum { CONTAINER_MS = 5000, INSTANCE_MS = 1000, TOKEN_LIMIT = 64 << 10 };

static void trim_end(struct sb_buf *text) {
    while (text->len && isspace((unsigned char)text->data[text->len - 1]))
        text->data[--text->len] = '\0';
}

static bool printable(const char *text) {
    for (; *text; text++)
        if (!isgraph((unsigned char)*text) && *text != ' ')
            return false;
    return true;
}

/* ---- containers ---- */

/* Without TLS only to this machine and to the addresses at which the agents of ECS and EKS are, so
 * that a variable that was smuggled in can't make the process ask anybody. */
static bool allowed_url(const char *url) {
    static const char *const hosts[] = {"localhost",      "[::1]",          "169.254.170.2",
                                        "169.254.170.23", "[fd00:ec2::23]", NULL};
    if (!strncasecmp(url, "https://", 8))
        return url[8] && !strchr("/:@", url[8]);
    if (strncasecmp(url, "http://", 7) != 0)
        return false;
    const char *host = url + 7;
    if (memchr(host, '@', strcspn(host, "/?#")))
        return false;
    size_t len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    for (const char *const *p = hosts; *p; p++)
        if (strlen(*p) == len && !strncasecmp(host, *p, len))
            return true;
    int parts = 1; /* 127.x.y.z, and no name that only begins like it */
    for (size_t i = 0; i < len; i++) {
        if (host[i] == '.')
            parts++;
        else if (!isdigit((unsigned char)host[i]))
            return false;
    }
    return parts == 4 && !strncmp(host, "127.", 4);
}

static int container_token(struct sb_strings *headers, struct sb_error *err) {
    const char *file = sb_aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = sb_aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    sb_autosecret struct sb_buf text = {0};
    if (file) {
        struct sb_error why = {0};
        if (sb_file_read(AT_FDCWD, file, TOKEN_LIMIT, &text, &why) < 0)
            return sb_fail(err, SB_E_NETWORK, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %s",
                           why.message);
        trim_end(&text);
        token = sb_buf_text(&text);
    }
    if (!token || !*token)
        return 0;
    if (!printable(token))
        return sb_fail(err, SB_E_NETWORK,
                       "the token for the container's credentials has a line break in it");
    sb_strings_addf(headers, "Authorization: %s", token);
    return 0;
}

int sb_aws_find_container(struct sb_aws_search *search, struct sb_aws_keys *out,
                          struct sb_error *err) {
    const char *relative = sb_aws_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = sb_aws_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!relative && !full) {
        sb_buf_adds(&search->tried, "container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and "
                                    "…_FULL_URI are not set");
        return 0;
    }
    sb_autofree char *url =
        relative ? sb_format("%s%s%s", CONTAINER_HOST, *relative == '/' ? "" : "/", relative)
                 : sb_strdup(full);
    if (!relative && !allowed_url(url))
        return sb_fail(err, SB_E_NETWORK,
                       "AWS_CONTAINER_CREDENTIALS_FULL_URI: %s is not allowed (it must be https:, "
                       "or http: to this machine or to the agent of ECS or EKS)",
                       sb_text_shown(url).text);
    sb_autostrings struct sb_strings headers = {0};
    if (container_token(&headers, err) < 0)
        return -1;
    struct sb_simple_request request = {.method = "GET",
                                        .url = url,
                                        .headers = &headers,
                                        .timeout_ms = CONTAINER_MS,
                                        .direct = true};
    sb_autosimple struct sb_simple_response response = {0};
    if (sb_simple(search->settings, &request, &response, err) < 0)
        return sb_error_context(err, "asking for the container's AWS credentials");
    if (response.status != 200)
        return sb_fail(err, SB_E_NETWORK,
                       "asking for the container's AWS credentials: %s answered with status %d",
                       sb_text_shown(url).text, response.status);
    return sb_aws_keys_of_json(&response.body, "Token", "the container's AWS credentials", out,
                               err) < 0
               ? -1
               : 1;
}

/* ---- instances ---- */

static const char *instance_host(void) {
    const char *host = sb_aws_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (host)
        return host;
    const char *mode = sb_aws_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    return mode && !strcasecmp(mode, "IPv6") ? INSTANCE_HOST6 : INSTANCE_HOST;
}

/* 1 and the body; 0 with why. The service isn't there on most machines: no error. */
static int ask_instance(const struct sb_aws_search *search, const char *method, const char *path,
                        const char *header, struct sb_buf *out, char **why) {
    const char *host = instance_host();
    size_t len = strlen(host);
    sb_autofree char *url =
        sb_format("%.*s%s", (int)(len && host[len - 1] == '/' ? len - 1 : len), host, path);
    sb_autostrings struct sb_strings headers = {0};
    sb_strings_add(&headers, header);
    struct sb_simple_request request = {.method = method,
                                        .url = url,
                                        .headers = &headers,
                                        .timeout_ms = INSTANCE_MS,
                                        .direct = true};
    sb_autosimple struct sb_simple_response response = {0};
    struct sb_error err = {0};
    if (sb_simple(search->settings, &request, &response, &err) < 0)
        *why = sb_strdup(err.message);
    else if (response.status != 200)
        *why = sb_format("%s %s answered with status %d", method, path, response.status);
    else if (!response.body.len || strlen(response.body.data) != response.body.len)
        *why = sb_format("%s %s answered with nothing of use", method, path);
    else
        sb_secret_add(out, response.body.data, response.body.len);
    return *why == NULL;
}

static int no_instance(struct sb_aws_search *search, const char *why) {
    sb_buf_addf(&search->tried, "instance metadata: %s", why);
    return 0;
}

int sb_aws_find_instance(struct sb_aws_search *search, struct sb_aws_keys *out,
                         struct sb_error *err) {
    const char *disabled = sb_aws_env("AWS_EC2_METADATA_DISABLED");
    if (disabled && !strcasecmp(disabled, "true"))
        return no_instance(search, "off (AWS_EC2_METADATA_DISABLED)");
    sb_autosecret struct sb_buf token = {0}, header = {0}, keys = {0};
    sb_autobuf struct sb_buf role = {0};
    sb_autofree char *why = NULL;
    if (!ask_instance(search, "PUT", "/latest/api/token",
                      "X-aws-ec2-metadata-token-ttl-seconds: 21600", &token, &why))
        return no_instance(search, why);
    if (!printable(sb_buf_text(&token)))
        return no_instance(search, "the token is malformed");
    sb_secret_adds(&header, "X-aws-ec2-metadata-token: ");
    sb_secret_adds(&header, sb_buf_text(&token));
    if (!ask_instance(search, "GET", "/latest/meta-data/iam/security-credentials/",
                      sb_buf_text(&header), &role, &why))
        return no_instance(search, why);
    sb_autofree char *name = sb_strndup(sb_buf_text(&role), strcspn(sb_buf_text(&role), "\r\n"));
    if (!*name || !printable(name) || strpbrk(name, "/?# %"))
        return no_instance(search, "the name of the role is malformed");
    sb_autofree char *path = sb_format("/latest/meta-data/iam/security-credentials/%s", name);
    if (!ask_instance(search, "GET", path, sb_buf_text(&header), &keys, &why))
        return no_instance(search, why);
    return sb_aws_keys_of_json(&keys, "Token", "the instance's AWS credentials", out, err) < 0 ? -1
                                                                                               : 1;
}
