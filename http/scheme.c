#include "http/scheme.h"

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/map.h"
#include "base/memory.h"
#include "http/origin.h"

enum { WAIT_MS = 1000, TRIES = 2 };

struct sb_schemes {
    const struct sb_http_settings *settings;
    pthread_mutex_t mutex;
    struct sb_map known; /* host: 1 for http, 2 for https */
};

struct sb_schemes *sb_schemes_new(const struct sb_http_settings *settings) {
    struct sb_schemes *schemes = sb_alloc(sizeof *schemes);
    schemes->settings = settings;
    pthread_mutex_init(&schemes->mutex, NULL);
    return schemes;
}

void sb_schemes_free(struct sb_schemes *schemes) {
    if (!schemes)
        return;
    sb_map_free(&schemes->known);
    pthread_mutex_destroy(&schemes->mutex);
    free(schemes);
}

/* A ClientHello (RFC 8446, 4.1.2) without extensions. A server that speaks TLS answers with a
 * handshake or an alert; the line ends among its "random" bytes end a request for all others, so
 * that they answer too. */
static const unsigned char hello[] = {
    0x16, 0x03, 0x01, 0x00, 0x2f,                               /* record: handshake, 47 bytes */
    0x01, 0x00, 0x00, 0x2b, 0x03, 0x03,                         /* ClientHello, TLS 1.2 */
    's',  'b',  'u',  'i',  'l',  'd',  ':',  ' ',  'd',  'o',  /* 32 random bytes */
    ' ',  'y',  'o',  'u',  ' ',  's',  'p',  'e',  'a',  'k',  /* */
    ' ',  'T',  'L',  'S',  '?',  '\r', '\n', '\r', '\n', '\r', /* */
    '\n', '\n',                                                 /* */
    0x00, 0x00, 0x04, 0xc0, 0x2f, 0xc0, 0x30, 0x01, 0x00,       /* no session, two ciphers */
};

static int connect_to(const char *host) {
    CURLU *url = curl_url();
    sb_autofree char *text = sb_format("https://%s/", host);
    char *name = NULL, *port = NULL;
    int fd = -1;
    if (url && !curl_url_set(url, CURLUPART_URL, text, 0) &&
        !curl_url_get(url, CURLUPART_HOST, &name, 0) &&
        !curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) {
        struct addrinfo wanted = {.ai_socktype = SOCK_STREAM}, *found = NULL;
        sb_autofree char *bare = sb_strdup(*name == '[' ? name + 1 : name);
        bare[strcspn(bare, "]")] = '\0';
        if (getaddrinfo(bare, port, &wanted, &found))
            found = NULL;
        for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
            fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
            if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
                close(fd);
                fd = -1;
            }
        }
        if (found)
            freeaddrinfo(found);
    }
    curl_free(name);
    curl_free(port);
    curl_url_cleanup(url);
    return fd;
}

/* 'S' for TLS, 'H' for something else, '?' when it was closed without a word, which may be an
 * accident, '-' when nothing came, '!' when nobody is there. */
static char ask(const char *host) {
    sb_autoclose int fd = connect_to(host);
    if (fd < 0)
        return '!';
    if (send(fd, hello, sizeof hello, MSG_NOSIGNAL) != (ssize_t)sizeof hello)
        return '?';
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    unsigned char first;
    if (poll(&ready, 1, WAIT_MS) <= 0)
        return '-';
    if (recv(fd, &first, 1, 0) != 1)
        return '?';
    return first == 0x15 || first == 0x16 ? 'S' : 'H'; /* record types alert, handshake */
}

int sb_scheme_find(struct sb_schemes *schemes, const char *host, bool *out_https,
                   struct sb_error *err) {
    const struct sb_host_settings *set = sb_http_settings_host(schemes->settings, host);
    *out_https = !(set && set->plain_http);
    bool is_set = set && (set->plain_http || set->skip_verify || set->ca || set->client_cert);
    if (is_set || !sb_host_is_loopback(host))
        return 0;
    pthread_mutex_lock(&schemes->mutex);
    uint64_t *known = sb_map_find(&schemes->known, host);
    char answer = known ? (char)*known : '?';
    for (int i = 0; i < TRIES && answer == '?'; i++)
        answer = ask(host);
    if (answer == 'S' || answer == 'H')
        *sb_map_put(&schemes->known, host) = (uint64_t)answer;
    pthread_mutex_unlock(&schemes->mutex);
    *out_https = answer == 'S';
    if (answer != '!')
        return 0;
    sb_fail(err, SB_E_NETWORK, "%s: can't connect: nobody listens there", host);
    return sb_error_reason(err, SB_REASON_PASSING);
}
