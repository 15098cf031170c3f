#include "http/origin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

void sb_url_free(CURLU **url) {
    curl_url_cleanup(*url);
}

/* "" when there is none. */
static char *part(CURLU *url, CURLUPart which, unsigned flags) {
    char *text = NULL;
    if (curl_url_get(url, which, &text, flags) != CURLUE_OK)
        return sb_strdup("");
    char *copy = sb_strdup(text);
    curl_free(text);
    return copy;
}

/* url is taken over. */
static CURLU *checked(CURLU *url, const char *text, CURLUcode code, struct sb_error *err) {
    sb_autofree char *scheme = code == CURLUE_OK ? part(url, CURLUPART_SCHEME, 0) : NULL;
    if (code == CURLUE_OUT_OF_MEMORY || !url)
        sb_fail(err, SB_E_FAILED, "out of memory");
    else if (code == CURLUE_UNSUPPORTED_SCHEME ||
             (scheme && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        sb_fail(err, SB_E_NETWORK, "%s is neither http: nor https:", sb_text_shown(text).text);
    else if (code != CURLUE_OK)
        sb_fail(err, SB_E_NETWORK, "%s is not a URL: %s", sb_text_shown(text).text,
                curl_url_strerror(code));
    else {
        curl_url_set(url, CURLUPART_USER, NULL, 0);
        curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
        curl_url_set(url, CURLUPART_OPTIONS, NULL, 0);
        curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
        return url;
    }
    curl_url_cleanup(url);
    return NULL;
}

CURLU *sb_url_parse(const char *text, struct sb_error *err) {
    CURLU *url = curl_url();
    return checked(url, text, url ? curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS) : 0,
                   err);
}

CURLU *sb_url_resolve(const CURLU *base, const char *location, struct sb_error *err) {
    CURLU *url = curl_url_dup((CURLU *)base);
    return checked(url, location,
                   url ? curl_url_set(url, CURLUPART_URL, location, CURLU_URLENCODE) : 0, err);
}

char *sb_url_text(CURLU *url) {
    return part(url, CURLUPART_URL, 0);
}

char *sb_url_shown(CURLU *url) {
    sb_autofree char *origin = sb_url_origin(url);
    sb_autofree char *path = part(url, CURLUPART_PATH, 0);
    return sb_format("%s%s", origin, path);
}

char *sb_url_authority(CURLU *url) {
    sb_autofree char *host = part(url, CURLUPART_HOST, 0);
    sb_autofree char *port = part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
    for (char *c = host; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c += 'a' - 'A';
    return *port ? sb_format("%s:%s", host, port) : sb_strdup(host);
}

char *sb_url_origin(CURLU *url) {
    sb_autofree char *scheme = part(url, CURLUPART_SCHEME, 0);
    sb_autofree char *authority = sb_url_authority(url);
    return sb_format("%s://%s", scheme, authority);
}

bool sb_url_is_https(CURLU *url) {
    sb_autofree char *scheme = part(url, CURLUPART_SCHEME, 0);
    return !strcmp(scheme, "https");
}

static enum sb_reach reach_of_v4(uint32_t address) {
    static const uint32_t metadata[] = {0x646464c8, 0xc00000c0}; /* Alibaba's, Oracle's */
    static const struct {
        uint32_t network;
        int bits;
    } private[] = {{0x0a000000, 8}, {0xac100000, 12}, {0xc0a80000, 16}, {0x64400000, 10}};
    if (address >> 24 == 127 || address >> 24 == 0)
        return SB_REACH_LOOPBACK;
    if (address >> 16 == 0xa9fe || address == metadata[0] || address == metadata[1])
        return SB_REACH_LINK_LOCAL;
    for (size_t i = 0; i < sizeof private / sizeof *private; i++)
        if ((address ^ private[i].network) >> (32 - private[i].bits) == 0)
            return SB_REACH_PRIVATE;
    return SB_REACH_ANY;
}

/* Where an address of version 4 lies in one of version 6: mapped, compatible, behind NAT64 and in
 * 6to4; NULL: nowhere. */
static const unsigned char *inner_v4(const struct in6_addr *address) {
    static const unsigned char nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    const unsigned char *bytes = address->s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(address) || IN6_IS_ADDR_V4COMPAT(address) ||
        !memcmp(bytes, nat64, sizeof nat64))
        return bytes + 12;
    return bytes[0] == 0x20 && bytes[1] == 0x02 ? bytes + 2 : NULL;
}

static enum sb_reach reach_of_v6(const struct in6_addr *address) {
    static const unsigned char metadata[][16] = {
        {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, /* Amazon's */
        {0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}, /* Google's */
    };
    if (IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_UNSPECIFIED(address))
        return SB_REACH_LOOPBACK;
    const unsigned char *inner = inner_v4(address);
    if (inner) {
        uint32_t v4;
        memcpy(&v4, inner, sizeof v4);
        return reach_of_v4(ntohl(v4));
    }
    if (IN6_IS_ADDR_LINKLOCAL(address))
        return SB_REACH_LINK_LOCAL;
    for (size_t i = 0; i < sizeof metadata / sizeof *metadata; i++)
        if (!memcmp(address, metadata[i], sizeof metadata[i]))
            return SB_REACH_LINK_LOCAL;
    return (address->s6_addr[0] & 0xfe) == 0xfc || IN6_IS_ADDR_SITELOCAL(address) ? SB_REACH_PRIVATE
                                                                                  : SB_REACH_ANY;
}

enum sb_reach sb_reach_of(const struct sockaddr *address) {
    if (address->sa_family == AF_INET)
        return reach_of_v4(
            ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return reach_of_v6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    return SB_REACH_ANY;
}

/* Without brackets, port and zone. */
static char *bare_host(const char *host) {
    const char *colon = strchr(host, ':');
    if (*host == '[')
        return sb_strndup(host + 1, strcspn(host + 1, "]%"));
    if (colon && !strchr(colon + 1, ':'))
        return sb_strndup(host, (size_t)(colon - host));
    return sb_strndup(host, strcspn(host, "%"));
}

enum sb_reach sb_reach_of_text(const char *address) {
    struct in_addr v4;
    struct in6_addr v6;
    sb_autofree char *bare = bare_host(address);
    if (inet_pton(AF_INET, bare, &v4) == 1)
        return reach_of_v4(ntohl(v4.s_addr));
    return inet_pton(AF_INET6, bare, &v6) == 1 ? reach_of_v6(&v6) : SB_REACH_ANY;
}

bool sb_host_is_loopback(const char *host) {
    static const char local[] = "localhost";
    sb_autofree char *bare = bare_host(host);
    size_t len = strlen(bare), name = strlen(local);
    if (len >= name && !strcasecmp(bare + len - name, local) &&
        (len == name || bare[len - name - 1] == '.'))
        return true;
    return sb_reach_of_text(bare) == SB_REACH_LOOPBACK;
}
