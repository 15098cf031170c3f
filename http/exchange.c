#include "http/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "base/uncached.h"
#include "http/failure.h"
#include "http/origin.h"
#include "http/proxy.h"

enum {
    CONNECT_SECONDS = 15,
    RECEIVE_SIZE = 512 << 10,
    SEND_SIZE = 2 << 20,
    REPEATED_SIZE = 256 << 10,
    SLOW_STALLS = 10, /* times stall_seconds for SLOW_BYTES */
    SLOW_BYTES = 64 << 10,
    WHOLE_STALLS = 20, /* for all of an answer that is kept in memory, from its first line on */
    REGISTRY_RATE_SHIFT = 24, /* a registry hashes and stores 16 MiB a second, at the least */
};

/* While one exchange runs. */
struct running {
    struct sb_exchange *x;
    CURL *curl;
    char *host;        /* for messages */
    uint64_t position; /* in the body that is sent */
    size_t header_bytes, header_count;
    bool in_body;
    bool cut; /* the rest of an answer that isn't 2xx is not wanted */
    curl_off_t moved_down, moved_up;
    struct timespec moved;    /* when a byte moved last */
    struct timespec answered; /* when the answer began */
    struct timespec marked;   /* when SLOW_BYTES had moved since the last such moment */
    curl_off_t marked_at;
    struct sb_error failure; /* why a callback ended it; code 0: none did */
};

static void note_moved(struct running *r) {
    clock_gettime(CLOCK_MONOTONIC, &r->moved);
}

static double seconds_between(const struct timespec *from, const struct timespec *to) {
    return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

static void add_seconds(struct timespec *when, double seconds) {
    long whole = (long)seconds;
    when->tv_sec += whole;
    when->tv_nsec += (long)((seconds - (double)whole) * 1e9);
    if (when->tv_nsec >= 1000000000) {
        when->tv_nsec -= 1000000000;
        when->tv_sec++;
    }
}

static bool is_success(const struct sb_exchange *x) {
    return x->status >= 200 && x->status < 300;
}

static int fail_now(struct running *r, const char *what) {
    sb_fail(&r->failure, SB_E_NETWORK, "%s: %s", r->host, what);
    return sb_error_reason(&r->failure, SB_REASON_LASTING);
}

/* ---- what the server sends ---- */

/* Keeps one header line, its name in lower case. */
static void add_header(struct sb_exchange *x, const char *line, size_t len) {
    while (len && strchr("\r\n \t", line[len - 1]))
        len--;
    const char *colon = memchr(line, ':', len);
    if (!colon || colon == line || *line == ' ' || *line == '\t')
        return;
    char *copy = sb_strndup(line, len);
    char *out = copy;
    for (; *out != ':'; out++)
        if (*out >= 'A' && *out <= 'Z')
            *out += 'a' - 'A';
    *out = '\0';
    const char *value = out + 1 + strspn(out + 1, " \t");
    char *kept = sb_format("%s: %s", copy, value);
    for (char *c = kept; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    free(copy);
    sb_strings_take(&x->answer_headers, kept);
}

static size_t on_header(char *line, size_t size, size_t count, void *data) {
    struct running *r = data;
    size_t len = size * count;
    note_moved(r);
    r->header_bytes += len;
    if (r->header_bytes > SB_HEADERS_LIMIT || ++r->header_count > SB_HEADER_COUNT_LIMIT) {
        fail_now(r, "the answer has too many headers");
        return 0;
    }
    if (r->in_body) /* trailers */
        return len;
    if (len > 5 && !strncmp(line, "HTTP/", 5)) { /* of an answer 1xx before, or of this one */
        sb_strings_free(&r->x->answer_headers);
        const char *blank = memchr(line, ' ', len);
        if (!r->x->status) /* the registry has had its time to think */
            r->answered = r->marked = r->moved;
        r->x->status = blank ? atoi(blank) : 0;
        return len;
    }
    add_header(r->x, line, len);
    return len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data) {
    struct running *r = data;
    struct sb_exchange *x = r->x;
    size_t len = size * count;
    r->in_body = true;
    x->received += len;
    if (is_success(x) && x->stream) {
        struct timespec before;
        clock_gettime(CLOCK_MONOTONIC, &before);
        if (x->stream(x->data, bytes, len, &r->failure) < 0)
            return 0;
        note_moved(r);
        add_seconds(&r->marked, seconds_between(&before, &r->moved)); /* of who takes the bytes */
    } else if (len > x->limit - x->body.len) {
        if (is_success(x)) {
            sb_fail(&r->failure, SB_E_NETWORK, "%s: the answer is larger than %zu bytes", r->host,
                    x->limit);
            sb_error_reason(&r->failure, SB_REASON_LASTING);
            return 0;
        }
        sb_buf_add(&x->body, bytes, x->limit - x->body.len);
        r->cut = true;
        return 0;
    } else {
        sb_buf_add(&x->body, bytes, len);
    }
    note_moved(r);
    return len;
}

/* ---- what is sent ---- */

static size_t on_read(char *to, size_t size, size_t count, void *data) {
    struct running *r = data;
    struct sb_exchange *x = r->x;
    uint64_t left = x->body_size - r->position;
    size_t want = size * count < left ? size * count : (size_t)left;
    if (x->body_fd < 0) {
        memcpy(to, (const char *)x->body_bytes + r->position, want);
    } else if (want) {
        ssize_t n = sb_pread_uncached(x->body_fd, to, want, (off_t)(x->body_offset + r->position));
        if (n <= 0) {
            errno = n < 0 ? errno : ENODATA;
            sb_fail_errno(&r->failure, SB_E_IO, "reading what is sent to %s", r->host);
            return CURL_READFUNC_ABORT;
        }
        want = (size_t)n;
    }
    r->position += want;
    return want;
}

/* libcurl sends again by itself when a kept connection turns out to be closed. A large body, and
 * any that is a part of a file, is left to whoever asks: he can find out how much of it has
 * arrived; a part of an upload sent twice would be there twice. */
static int on_seek(void *data, curl_off_t offset, int origin) {
    struct running *r = data;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > r->x->body_size ||
        r->position > REPEATED_SIZE || (r->x->body_fd >= 0 && r->position > 0))
        return CURL_SEEKFUNC_FAIL;
    r->position = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- time ---- */

/* A byte now and then is no stall, and could go on for years. Nobody waits that way for a registry
 * that thinks, whose time is wait_seconds. */
static int check_slow(struct running *r, curl_off_t bytes) {
    const struct sb_exchange *x = r->x;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    bool thinks = !x->status && (!x->has_body || r->position >= x->body_size);
    if (thinks || bytes - r->marked_at >= SLOW_BYTES) {
        r->marked = now;
        r->marked_at = bytes;
    }
    bool kept = x->status && !(is_success(x) && x->stream);
    if (seconds_between(&r->marked, &now) < (double)x->stall_seconds * SLOW_STALLS &&
        (!kept || seconds_between(&r->answered, &now) < (double)x->stall_seconds * WHOLE_STALLS))
        return 0;
    sb_fail(&r->failure, SB_E_NETWORK, "%s: next to nothing moved for %d seconds", r->host,
            x->stall_seconds * SLOW_STALLS);
    sb_error_reason(&r->failure, SB_REASON_PASSING);
    return 1;
}

static int on_progress(void *data, curl_off_t total_down, curl_off_t down, curl_off_t total_up,
                       curl_off_t up) {
    (void)total_down, (void)total_up;
    struct running *r = data;
    struct sb_exchange *x = r->x;
    if (x->gone && x->gone(x->data)) {
        fail_now(r, "nobody waits for the answer");
        return 1;
    }
    if (check_slow(r, down + up))
        return 1;
    if (down != r->moved_down || up != r->moved_up) {
        r->moved_down = down;
        r->moved_up = up;
        note_moved(r);
        return 0;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long allowed = x->stall_seconds;
    if (!x->status && (!x->has_body || (uint64_t)up >= x->body_size)) {
        if (x->wait_seconds > allowed)
            allowed = x->wait_seconds;
        if (x->has_body)
            allowed += (long long)(x->body_size >> REGISTRY_RATE_SHIFT);
    }
    if (seconds_between(&r->moved, &now) < (double)allowed)
        return 0;
    sb_fail(&r->failure, SB_E_NETWORK, "%s: no byte moved for %lld seconds", r->host, allowed);
    sb_error_reason(&r->failure, SB_REASON_PASSING);
    return 1;
}

/* ---- addresses ---- */

/* What a registry names: private networks are where registries are, too. */
static bool is_allowed(const struct sb_exchange *x, enum sb_reach reach, int port) {
    if (reach == SB_REACH_LOOPBACK)
        return !x->foreign || x->to_loopback || sb_proxy_has_port(port);
    return reach != SB_REACH_LINK_LOCAL ||
           (!x->foreign && (x->to_link_local || sb_proxy_has_port(port)));
}

static const char *const reaches[] = {
    [SB_REACH_ANY] = "the internet",
    [SB_REACH_LOOPBACK] = "this machine itself",
    [SB_REACH_PRIVATE] = "a private network",
    [SB_REACH_LINK_LOCAL] = "the local link, where clouds keep credentials",
};

static bool may_download(struct running *r, enum sb_reach reach, int port) {
    const struct sb_exchange *x = r->x;
    if (reach == SB_REACH_ANY || sb_proxy_has_port(port) ||
        (reach != SB_REACH_LINK_LOCAL && (!x->foreign || x->to_private)))
        return true;
    sb_fail(&r->failure, SB_E_NETWORK, "%s is an address of %s: refused%s", r->host, reaches[reach],
            x->foreign ? ", for a server sent there" : "");
    sb_error_reason(&r->failure, SB_REASON_FORBIDDEN);
    return false;
}

static bool may_connect(struct running *r, enum sb_reach reach, int port) {
    if (r->x->download)
        return may_download(r, reach, port);
    if (is_allowed(r->x, reach, port))
        return true;
    if (r->x->foreign) {
        sb_fail(&r->failure, SB_E_NETWORK,
                "the registry sends to %s, an address of %s: refused, for a server must not reach "
                "what only this machine can",
                r->host, reach == SB_REACH_LOOPBACK ? "this machine itself" : "the local link");
    } else {
        sb_fail(&r->failure, SB_E_NETWORK,
                "%s is an address of the local link: refused, for only this machine's own matters "
                "are there",
                r->host);
        sb_error_hint(&r->failure, "if it is a registry, set its ca or plain_http in the settings");
    }
    sb_error_reason(&r->failure, SB_REASON_FORBIDDEN);
    return false;
}

static int port_of(const struct sockaddr *address) {
    /* The port lies at the same place in both families. */
    const unsigned char *bytes = (const unsigned char *)address->sa_data;
    return bytes[0] << 8 | bytes[1];
}

static curl_socket_t on_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    struct running *r = data;
    if (!may_connect(r, sb_reach_of(&address->addr), port_of(&address->addr)))
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Before a request goes out, also on a connection that was kept. */
static int on_connected(void *data, char *peer, char *local, int peer_port, int local_port) {
    (void)local, (void)local_port;
    struct running *r = data;
    enum sb_reach reach = sb_reach_of_text(peer);
    r->x->at_loopback = reach == SB_REACH_LOOPBACK && !sb_proxy_has_port(peer_port);
    r->x->at_private = reach != SB_REACH_ANY && !sb_proxy_has_port(peer_port);
    note_moved(r);
    return may_connect(r, reach, peer_port) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* ---- the handle ---- */

static struct curl_slist *add_line(struct curl_slist *list, const char *line) {
    struct curl_slist *longer = curl_slist_append(list, line);
    if (!longer)
        abort();
    return longer;
}

static struct curl_slist *request_headers(const struct sb_exchange *x) {
    struct curl_slist *list = NULL;
    for (size_t i = 0; x->headers && i < x->headers->n; i++)
        list = add_line(list, x->headers->v[i]);
    if (x->authorization) {
        sb_autofree char *line = sb_format("Authorization: %s", x->authorization);
        list = add_line(list, line);
        explicit_bzero(line, strlen(line));
    }
    return add_line(list, "Expect:"); /* a second of waiting, with servers that don't know it */
}

static void free_headers(struct curl_slist *list) {
    for (struct curl_slist *line = list; line; line = line->next)
        explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(list);
}

static void set_method(CURL *curl, struct running *r) {
    const struct sb_exchange *x = r->x;
    bool sends = x->has_body || !strcmp(x->method, "POST") || !strcmp(x->method, "PUT") ||
                 !strcmp(x->method, "PATCH");
    if (!strcmp(x->method, "HEAD")) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        return;
    }
    if (sends) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->body_size);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(curl, CURLOPT_READDATA, r);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, r);
        curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_SIZE);
    }
    if (strcmp(x->method, sends ? "PUT" : "GET") != 0)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, x->method);
}

static void set_callbacks(CURL *curl, struct running *r) {
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, r);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, r);
    curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(curl, CURLOPT_PREREQDATA, r);
}

/* As Docker does: the machine itself is never asked through a proxy. */
static char *proxy_for(const struct sb_exchange *x, const char *host) {
    if (x->direct || sb_host_is_loopback(host))
        return sb_strdup("");
    char *port = NULL;
    curl_url_get(x->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    size_t bracket = *host == '[';
    sb_autofree char *bare =
        sb_strndup(host + bracket, strcspn(host + bracket, bracket ? "]" : ":"));
    char *proxy = sb_proxy_find(sb_url_is_https(x->url), bare, port ? atoi(port) : 0);
    curl_free(port);
    return proxy;
}

static void set_connection(CURL *curl, const struct sb_exchange *x, const char *host) {
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "sbuild/" SB_VERSION);
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)RECEIVE_SIZE);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    long connect = x->stall_seconds < CONNECT_SECONDS ? x->stall_seconds : CONNECT_SECONDS;
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, connect);
    if (x->timeout_ms)
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)x->timeout_ms);
    sb_autofree char *proxy = proxy_for(x, host);
    curl_easy_setopt(curl, CURLOPT_PROXY, proxy);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, ""); /* it is decided already */
}

int sb_exchange_run(CURL *curl, struct sb_exchange *x, struct sb_error *err) {
    sb_autofree char *host = sb_url_authority(x->url);
    struct running r = {.x = x, .curl = curl, .host = host};
    char detail[CURL_ERROR_SIZE] = "";
    if (!may_connect(&r, sb_reach_of_text(host), 0)) { /* also where a proxy would connect */
        *err = r.failure;
        return -1;
    }
    curl_easy_reset(curl);
    set_connection(curl, x, host);
    set_callbacks(curl, &r);
    set_method(curl, &r);
    sb_tls_apply(curl, x->tls);
    struct curl_slist *headers = request_headers(x);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_CURLU, x->url);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    note_moved(&r);
    r.marked = r.moved;
    CURLcode code = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    free_headers(headers);
    curl_off_t up = 0;
    curl_easy_getinfo(curl, CURLINFO_SIZE_UPLOAD_T, &up);
    x->sent = (uint64_t)up;
    if (r.failure.code) {
        *err = r.failure;
        return -1;
    }
    if (x->tls->unusable)
        return sb_fail(err, SB_E_NETWORK, "%s: the certificate authority %s can't be used", host,
                       x->tls->unusable);
    if (code != CURLE_OK && !r.cut)
        return sb_failure(err, curl, code, host, detail);
    return 0;
}

void sb_exchange_free(struct sb_exchange *x) {
    sb_strings_free(&x->answer_headers);
    sb_buf_free(&x->body);
    x->status = 0;
    x->sent = x->received = 0;
}
