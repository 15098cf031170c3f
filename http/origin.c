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

/* "%32852039166" becomes a name at first, and an address when what was made of it is read again:
 * what is checked and what is asked might differ. */
static bool reads_the_same(CURLU *url) {
    sb_autofree char *text = sb_url_text(url), *origin = sb_url_origin(url);
    sb_autourl CURLU *again = curl_url();
    if (!again || curl_url_set(again, CURLUPART_URL, text, CURLU_PATH_AS_IS) != CURLUE_OK)
        return false;
    sb_autofree char *same = sb_url_origin(again);
    return !strcmp(origin, same);
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
        if (reads_the_same(url))
            return url;
        sb_fail(err, SB_E_NETWORK, "%s is not a URL: its host is written with escapes",
                sb_text_shown(text).text);
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

/* Where clouds answer a machine that asks for its own secrets: 169.254.169.254 and its like, and
 * those of Alibaba, Azure and Oracle. */
static enum sb_reach reach_of_v4(uint32_t address) {
    static const uint32_t metadata[] = {0x646464c8, 0xa83f8110, 0xc00000c0};
    static const struct {
        uint32_t network;
        int bits;
    } private[] = {{0x0a000000, 8}, {0xac100000, 12}, {0xc0a80000, 16}, {0x64400000, 10}};
    if (address >> 24 == 127 || address >> 24 == 0)
        return SB_REACH_LOOPBACK;
    for (size_t i = 0; i < sizeof metadata / sizeof *metadata; i++)
        if (address == metadata[i])
            return SB_REACH_LINK_LOCAL;
    if (address >> 16 == 0xa9fe)
        return SB_REACH_LINK_LOCAL;
    for (size_t i = 0; i < sizeof private / sizeof *private; i++)
        if ((address ^ private[i].network) >> (32 - private[i].bits) == 0)
            return SB_REACH_PRIVATE;
    return SB_REACH_ANY;
}

/* Forms of IPv6 that lead to an address of IPv4: where in them it is, or NULL. */
static const unsigned char *inner_v4(const struct in6_addr *address) {
    static const struct {
        unsigned char prefix[12];
        unsigned char length, at;
    } forms[] = {
        {{[10] = 0xff, 0xff}, 12, 12},                 /* ::ffff:0:0/96, mapped */
        {{[8] = 0xff, 0xff}, 12, 12},                  /* ::ffff:0:0:0/96, translated */
        {{0}, 12, 12},                                 /* ::/96, compatible */
        {{0x00, 0x64, 0xff, 0x9b}, 12, 12},            /* 64:ff9b::/96, NAT64 */
        {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 6, 12}, /* 64:ff9b:1::/48, NAT64 of one's own */
        {{0x20, 0x02}, 2, 2},                          /* 2002::/16, 6to4 */
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (!memcmp(address, forms[i].prefix, forms[i].length))
            return address->s6_addr + forms[i].at;
    return NULL;
}

static enum sb_reach reach_of_v6(const struct in6_addr *address) {
    static const unsigned char metadata[][16] = {
        {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, /* fd00:ec2::254, and for pods … */
        {0xfd, 0x00, 0x0e, 0xc2, [15] = 0x23},              /* … fd00:ec2::23, of AWS */
        {0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}, /* fd20:ce::254, of Google */
        {0xfd, 0x00, 0x00, 0xc1, [12] = 0xa9, 0xfe, 0xa9, 0xfe}, /* fd00:c1::a9fe:a9fe, of Oracle */
        {0xfd, 0x00, 0x00, 0x42, [15] = 0x42},                   /* fd00:42::42, of Scaleway */
    };
    if (IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_UNSPECIFIED(address))
        return SB_REACH_LOOPBACK;
    for (size_t i = 0; i < sizeof metadata / sizeof *metadata; i++)
        if (!memcmp(address, metadata[i], sizeof metadata[i]))
            return SB_REACH_LINK_LOCAL;
    const unsigned char *inner = inner_v4(address);
    if (inner)
        return reach_of_v4((uint32_t)inner[0] << 24 | (uint32_t)inner[1] << 16 |
                           (uint32_t)inner[2] << 8 | inner[3]);
    if (IN6_IS_ADDR_LINKLOCAL(address))
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
