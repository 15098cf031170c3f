#include "http/proxy.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"

enum { HTTP, HTTPS, ALL, KINDS, DEFAULT_PORT = 1080 };
static char *proxies[KINDS]; /* NULL: none */
static int ports[KINDS];
static char *no_proxy;

/* ---- the environment ---- */

/* Empty counts as not set. */
static const char *environment(const char *capitals, const char *small) {
    const char *value = getenv(capitals);
    if (!value || !*value)
        value = getenv(small);
    return value && *value ? value : NULL;
}

static int port_of(const char *text) {
    CURLU *url = curl_url();
    char *port = NULL;
    int number = 0;
    if (url &&
        !curl_url_set(url, CURLUPART_URL, text, CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME))
        number = curl_url_get(url, CURLUPART_PORT, &port, 0) ? DEFAULT_PORT : atoi(port);
    curl_free(port);
    curl_url_cleanup(url);
    return number;
}

/* With Go, names behind a SOCKS proxy are its to look up. */
static char *as_curl_has_it(const char *text) {
    static const char socks[] = "socks5://";
    size_t len = sizeof socks - 1;
    return strncasecmp(text, socks, len) == 0 ? sb_format("socks5h://%s", text + len)
                                              : sb_strdup(text);
}

void sb_proxy_init(void) {
    static const char *const names[KINDS][2] = {[HTTP] = {"HTTP_PROXY", "http_proxy"},
                                                [HTTPS] = {"HTTPS_PROXY", "https_proxy"},
                                                [ALL] = {"ALL_PROXY", "all_proxy"}};
    for (size_t i = 0; i < KINDS; i++) {
        const char *text = environment(names[i][0], names[i][1]);
        /* Of a CGI program it is a header of whoever asks. */
        if (i == HTTP && getenv("REQUEST_METHOD"))
            text = getenv("http_proxy");
        free(sb_steal(proxies[i]));
        proxies[i] = text && *text ? as_curl_has_it(text) : NULL;
        ports[i] = proxies[i] ? port_of(text) : 0;
    }
    free(sb_steal(no_proxy));
    const char *list = environment("NO_PROXY", "no_proxy");
    no_proxy = list ? sb_strdup(list) : NULL;
}

bool sb_proxy_has_port(int port) {
    for (size_t i = 0; i < KINDS; i++)
        if (port && ports[i] == port)
            return true;
    return false;
}

char *sb_proxy_find(bool https, const char *host, int port) {
    const char *proxy =
        proxies[https ? HTTPS : HTTP] ? proxies[https ? HTTPS : HTTP] : proxies[ALL];
    return sb_strdup(proxy && !sb_proxy_bypassed(no_proxy ? no_proxy : "", host, port) ? proxy
                                                                                       : "");
}

/* ---- NO_PROXY ---- */

/* Addresses of both families in one: IPv4 as ::ffff:1.2.3.4. */
struct address {
    unsigned char bytes[16];
    bool v4;
};

static bool parse_address(const char *text, struct address *out) {
    *out = (struct address){.bytes = {[10] = 0xff, [11] = 0xff}, .v4 = true};
    if (inet_pton(AF_INET, text, out->bytes + 12) == 1)
        return true;
    out->v4 = false;
    return inet_pton(AF_INET6, text, out->bytes) == 1;
}

static bool same_bits(const struct address *a, const struct address *b, unsigned bits) {
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(a->bytes, b->bytes, whole) == 0 &&
           (rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0);
}

/* "10.0.0.0/8": 1 or 0; -1 when it is none. */
static int in_network(const char *entry, const struct address *host) {
    const char *slash = strchr(entry, '/');
    if (!slash || strspn(slash + 1, "0123456789") != strlen(slash + 1) || !slash[1] ||
        strlen(slash + 1) > 3)
        return -1;
    sb_autofree char *text = sb_strndup(entry, (size_t)(slash - entry));
    struct address network;
    int bits = atoi(slash + 1);
    if (!parse_address(text, &network) || bits > (network.v4 ? 32 : 128))
        return -1;
    return host && same_bits(&network, host, (unsigned)bits + (network.v4 ? 96 : 0));
}

/* Cuts ":port" off; the port, 0 when there is none, -1 when it is no port. */
static int cut_port(char *entry) {
    char *colon = strrchr(entry, ':'), *bracket = strchr(entry, ']');
    if (!colon || (bracket && colon < bracket) || (!bracket && strchr(entry, ':') != colon))
        return 0;
    *colon = '\0';
    size_t digits = strspn(colon + 1, "0123456789");
    return digits > 0 && digits <= 5 && !colon[1 + digits] ? atoi(colon + 1) : -1;
}

static bool names_host(const char *name, const char *host) {
    if (!strncmp(name, "*.", 2))
        name++;
    size_t len = strlen(name), host_len = strlen(host);
    if (len == 0 || strchr(host, ':'))
        return false;
    if (name[0] != '.' && !strcasecmp(name, host))
        return true;
    size_t suffix = name[0] == '.' ? len : len + 1;
    return host_len > suffix && host[host_len - suffix] == '.' &&
           !strcasecmp(host + host_len - len, name);
}

/* entry is cut up. */
static bool entry_names(char *entry, const char *host, const struct address *address, int port) {
    if (!strcmp(entry, "*"))
        return true;
    int network = in_network(entry, address);
    if (network >= 0)
        return network;
    int its_port = cut_port(entry);
    if (its_port < 0 || (its_port > 0 && its_port != port))
        return false;
    size_t len = strlen(entry);
    if (len > 1 && entry[0] == '[' && entry[len - 1] == ']') {
        entry[len - 1] = '\0';
        entry++;
    }
    struct address its;
    if (parse_address(entry, &its))
        return address && same_bits(&its, address, 128);
    if (len > 1 && entry[len - 1] == '.') /* the root of all names */
        entry[len - 1] = '\0';
    return !address && names_host(entry, host);
}

bool sb_proxy_bypassed(const char *list, const char *host, int port) {
    struct address address;
    size_t len = strlen(host);
    sb_autofree char *name = sb_strndup(host, len > 1 && host[len - 1] == '.' ? len - 1 : len);
    bool is_address = parse_address(name, &address);
    for (const char *p = list; *p; p += strcspn(p, ", \t")) {
        p += strspn(p, ", \t");
        sb_autofree char *entry = sb_strndup(p, strcspn(p, ", \t"));
        if (*entry && entry_names(entry, name, is_address ? &address : NULL, port))
            return true;
    }
    return false;
}
