#include "http/aws_sigv4.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/memory.h"

/* ---- keys ---- */

static void wipe(char **text) {
    if (*text)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

void sb_aws_keys_free(struct sb_aws_keys *keys) {
    wipe(&keys->access_key);
    wipe(&keys->secret_key);
    wipe(&keys->session_token);
    keys->expires = 0;
}

void sb_aws_keys_copy(struct sb_aws_keys *to, const struct sb_aws_keys *from) {
    *to = (struct sb_aws_keys){
        .access_key = sb_strdup(from->access_key),
        .secret_key = sb_strdup(from->secret_key),
        .session_token = from->session_token ? sb_strdup(from->session_token) : NULL,
        .expires = from->expires,
        .source = from->source,
    };
}

/* ---- the canonical request ---- */

static void add_encoded(struct sb_buf *out, const char *text, size_t len, bool keep_slash) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (isalnum(c) || strchr("-._~", c) || (keep_slash && c == '/'))
            sb_buf_addc(out, (char)c);
        else
            sb_buf_addf(out, "%%%02X", c);
    }
}

struct url {
    const char *host, *path, *query; /* with their lengths; not ended */
    size_t host_len, path_len, query_len;
};

static struct url split_url(const char *text) {
    const char *scheme = strstr(text, "://");
    struct url url = {.host = scheme ? scheme + 3 : text};
    url.host_len = strcspn(url.host, "/?#");
    url.path = url.host + url.host_len;
    url.path_len = strcspn(url.path, "?#");
    url.query = url.path + url.path_len;
    if (*url.query == '?')
        url.query_len = strcspn(++url.query, "#");
    return url;
}

/* The path is encoded once more than on the wire, as all services but S3 want it. */
static void add_path(struct sb_buf *out, const struct url *url) {
    sb_autofree char *path = sb_strndup(url->path, url->path_len);
    sb_autofree char *clean = sb_path_clean(url->path_len ? path : "/");
    add_encoded(out, clean, strlen(clean), true);
    if (url->path_len > 1 && path[url->path_len - 1] == '/' && strcmp(clean, "/") != 0)
        sb_buf_addc(out, '/');
}

static void replace_first(struct sb_strings *list, char from, char to) {
    for (size_t i = 0; i < list->n; i++) {
        char *found = strchr(list->v[i], from);
        if (found)
            *found = to;
    }
}

/* By name, then by value: nothing sorts before \1, so "a" comes before "a-b". */
static void sort_pairs(struct sb_strings *list, char separator) {
    replace_first(list, separator, '\1');
    sb_strings_sort(list);
    replace_first(list, '\1', separator);
}

static void add_query(struct sb_buf *out, const struct url *url) {
    sb_autofree char *query = sb_strndup(url->query, url->query_len);
    sb_autostrings struct sb_strings list = {0};
    char *rest = query;
    for (char *item; (item = strsep(&rest, "&"));)
        if (*item)
            sb_strings_addf(&list, "%s%s", item, strchr(item, '=') ? "" : "=");
    sort_pairs(&list, '=');
    for (size_t i = 0; i < list.n; i++)
        sb_buf_addf(out, "%s%s", i ? "&" : "", list.v[i]);
}

/* "name:value" in lower case, blanks of the value made single. */
static char *canonical_header(const char *name, size_t name_len, const char *value) {
    struct sb_buf out = {0};
    for (size_t i = 0; i < name_len; i++)
        sb_buf_addc(&out, (char)tolower((unsigned char)name[i]));
    sb_buf_addc(&out, ':');
    bool gap = false, any = false;
    for (; *value; value++) {
        if (*value == ' ' || *value == '\t') {
            gap = any;
            continue;
        }
        if (gap)
            sb_buf_addc(&out, ' ');
        sb_buf_addc(&out, *value);
        gap = false;
        any = true;
    }
    return out.data;
}

/* Headers that proxies and libraries may change are left out, as AWS's own programs do. */
static bool is_signed(const char *name, size_t len) {
    static const char *const left[] = {"authorization",     "connection", "expect", "user-agent",
                                       "transfer-encoding", "accept",     NULL};
    for (const char *const *p = left; *p; p++)
        if (strlen(*p) == len && !strncasecmp(*p, name, len))
            return false;
    return true;
}

static void collect_headers(const struct sb_sigv4_request *request, const struct url *url,
                            const struct sb_strings *added, struct sb_strings *out) {
    sb_autofree char *host = sb_strndup(url->host, url->host_len);
    const char *usual = strncasecmp(request->url, "https:", 6) ? ":80" : ":443";
    size_t len = strlen(host), port = strlen(usual);
    if (len > port && !strcmp(host + len - port, usual)) /* not in the header either */
        host[len - port] = '\0';
    sb_strings_take(out, canonical_header("host", 4, host));
    const struct sb_strings *lists[] = {request->headers, added};
    for (size_t l = 0; l < 2; l++) {
        for (size_t i = 0; lists[l] && i < lists[l]->n; i++) {
            const char *line = lists[l]->v[i];
            size_t name = strcspn(line, ":");
            if (line[name] && is_signed(line, name))
                sb_strings_take(out, canonical_header(line, name, line + name + 1));
        }
    }
    sort_pairs(out, ':');
}

/* ---- the signature ---- */

static struct sb_digest hmac(const struct sb_digest *key, const char *text) {
    return sb_digest_hmac(key->bytes, sizeof key->bytes, text, strlen(text));
}

static struct sb_digest signing_key(const char *secret, const char *date, const char *region,
                                    const char *service) {
    char *seed = sb_format("AWS4%s", secret);
    struct sb_digest key = sb_digest_hmac(seed, strlen(seed), date, strlen(date));
    wipe(&seed);
    key = hmac(&key, region);
    key = hmac(&key, service);
    return hmac(&key, "aws4_request");
}

void sb_sigv4_sign(const struct sb_sigv4_request *request, const struct sb_aws_keys *keys,
                   struct sb_strings *out) {
    char when[32];
    time_t time = (time_t)request->time;
    struct tm tm;
    gmtime_r(&time, &tm);
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm);
    sb_autofree char *date = sb_strndup(when, 8);

    sb_autostrings struct sb_strings added = {0}, headers = {0};
    sb_strings_addf(&added, "X-Amz-Date: %s", when);
    if (keys->session_token)
        sb_strings_addf(&added, "X-Amz-Security-Token: %s", keys->session_token);

    struct url url = split_url(request->url);
    collect_headers(request, &url, &added, &headers);
    sb_autobuf struct sb_buf canonical = {0}, names = {0}, text = {0};
    sb_buf_addf(&canonical, "%s\n", request->method);
    add_path(&canonical, &url);
    sb_buf_addc(&canonical, '\n');
    add_query(&canonical, &url);
    sb_buf_addc(&canonical, '\n');
    for (size_t i = 0; i < headers.n; i++) {
        sb_buf_addf(&canonical, "%s\n", headers.v[i]);
        sb_buf_addf(&names, "%s%.*s", i ? ";" : "", (int)strcspn(headers.v[i], ":"), headers.v[i]);
    }
    struct sb_digest body = sb_digest_of(request->body, request->body_len);
    sb_buf_addf(&canonical, "\n%s\n%s", sb_buf_text(&names), sb_digest_hex(&body).text);

    struct sb_digest hash = sb_digest_of(canonical.data, canonical.len);
    sb_autofree char *scope =
        sb_format("%s/%s/%s/aws4_request", date, request->region, request->service);
    sb_buf_addf(&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", when, scope, sb_digest_hex(&hash).text);
    struct sb_digest key = signing_key(keys->secret_key, date, request->region, request->service);
    struct sb_digest signature = hmac(&key, sb_buf_text(&text));
    sb_strings_copy(out, &added);
    sb_strings_addf(out,
                    "Authorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, "
                    "Signature=%s",
                    keys->access_key, scope, sb_buf_text(&names), sb_digest_hex(&signature).text);
    explicit_bzero(&key, sizeof key);
}
