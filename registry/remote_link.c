#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/text.h"
#include "registry/reference.h"
#include "registry/remote_private.h"

enum { LONGEST = 8 << 10 };

static bool url_valid(const char *text) {
    size_t len = 0;
    for (; text[len]; len++)
        if ((unsigned char)text[len] <= 0x20 || (unsigned char)text[len] >= 0x7F || len >= LONGEST)
            return false;
    return len > 0;
}

/* Hosts with their ports, the scheme's own left out. */
static bool same_host(const char *a, size_t a_len, const char *b, const char *own_port) {
    size_t b_len = strlen(b), port = strlen(own_port);
    if (a_len > port && !strncmp(a + a_len - port, own_port, port))
        a_len -= port;
    if (b_len > port && !strcmp(b + b_len - port, own_port))
        b_len -= port;
    return a_len == b_len && !strncasecmp(a, b, a_len);
}

/* The host and port that requests to the registry go to, by the settings; as much of it as is text.
 */
static char *endpoint_of(const struct sb_remote *remote) {
    const struct sb_registry_host *set =
        sb_registry_hosts_find(remote->registry->options.http.hosts, remote->host);
    const char *url = set && set->endpoint ? strstr(set->endpoint, "://") : NULL;
    return url ? sb_strndup(url + 3, strcspn(url + 3, "/?#"))
               : sb_strdup(sb_registry_endpoint(remote->host));
}

/* A URL with a scheme. On the registry itself only the path counts, not the scheme: a registry
 * behind a proxy that does TLS for it often does not know of that. */
static int absolute(const struct sb_remote *remote, const char *url, bool elsewhere,
                    char **out_target, struct sb_error *err) {
    bool secure = !strncasecmp(url, "https://", 8), plain = !strncasecmp(url, "http://", 7);
    if (!secure && !plain)
        return sb_fail(err, SB_E_NETWORK, "the registry leads to %s, which is not a web address",
                       sb_text_shown(url).text);
    const char *host = strstr(url, "://") + 3;
    size_t len = strcspn(host, "/?#");
    const char *port = secure ? ":443" : ":80";
    sb_autofree char *endpoint = endpoint_of(remote);
    if (same_host(host, len, endpoint, port) ||
        same_host(host, len, sb_registry_endpoint(remote->host), port)) {
        *out_target = sb_format("%s%s", host[len] == '/' ? "" : "/", host + len);
        return 0;
    }
    if (!elsewhere || !secure || memchr(host, '@', len))
        return sb_fail(err, SB_E_NETWORK, "the registry leads elsewhere, to %s, which is not safe",
                       sb_text_shown(url).text);
    *out_target = sb_strdup(url);
    return 0;
}

int sb_remote_location(const struct sb_remote *remote, const char *base, const char *location,
                       bool elsewhere, char **out_target, struct sb_error *err) {
    *out_target = NULL;
    if (!url_valid(location))
        return sb_fail(err, SB_E_NETWORK, "the registry leads to a malformed address");
    size_t scheme = strcspn(location, ":/?#");
    if (location[scheme] == ':')
        return absolute(remote, location, elsewhere, out_target, err);
    if (!strncmp(location, "//", 2)) {
        sb_autofree char *url = sb_format("https:%s", location);
        return absolute(remote, url, elsewhere, out_target, err);
    }
    if (location[0] == '/') {
        *out_target = sb_strdup(location);
        return 0;
    }
    size_t path = strcspn(base, "?#");
    if (location[0] != '?')
        while (path > 0 && base[path - 1] != '/')
            path--;
    *out_target = sb_format("%.*s%s", (int)path, base, location);
    return 0;
}

/* RFC 8288: <URL>; rel="next", <URL>; rel=last. */
static char *find_next(const char *value) {
    for (const char *p = value; (p = strchr(p, '<'));) {
        const char *end = strchr(p, '>');
        if (!end)
            return NULL;
        size_t parameters = strcspn(end, ",<");
        sb_autofree char *rest = sb_strndup(end, parameters);
        if (strcasestr(rest, "rel=\"next\"") || strcasestr(rest, "rel=next"))
            return sb_strndup(p + 1, (size_t)(end - p - 1));
        p = end + parameters;
    }
    return NULL;
}

int sb_remote_next_page(const struct sb_remote *remote, const char *base,
                        const struct sb_http_response *response, char **out_target,
                        struct sb_error *err) {
    *out_target = NULL;
    const char *value = sb_http_header(response, "link");
    sb_autofree char *url = value ? find_next(value) : NULL;
    return url ? sb_remote_location(remote, base, url, false, out_target, err) : 0;
}
