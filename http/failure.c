#include "http/failure.h"

#include <netdb.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

static int again(struct sb_error *err, const char *host, const char *what) {
    sb_fail(err, SB_E_NETWORK, "%s: %s", host, what);
    return sb_error_reason(err, SB_REASON_PASSING);
}

static int permanent(struct sb_error *err, const char *host, const char *what) {
    sb_fail(err, SB_E_NETWORK, "%s: %s", host, what);
    return sb_error_reason(err, SB_REASON_LASTING);
}

/* A name that does not exist, or has no address, stays so; that a resolver does not answer may
 * pass. */
static int fail_name(struct sb_error *err, const char *host) {
    size_t len = *host == '[' ? strcspn(host, "]") : strcspn(host, ":");
    sb_autofree char *name = sb_strndup(host, len);
    struct addrinfo *found = NULL;
    int code = getaddrinfo(name, NULL, NULL, &found);
    if (code == 0)
        freeaddrinfo(found);
    if (code != EAI_NONAME && code != EAI_NODATA)
        return again(err, host, "the host's name can't be looked up for now");
    permanent(err, host, "no host has this name");
    return sb_error_hint(err, "check the spelling of the registry's name");
}

static int fail_certificate(struct sb_error *err, CURL *curl, const char *host,
                            const char *detail) {
    long result = 0;
    curl_easy_getinfo(curl, CURLINFO_SSL_VERIFYRESULT, &result);
    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return permanent(err, host, "the server's certificate has expired");
    case X509_V_ERR_CERT_NOT_YET_VALID:
        permanent(err, host, "the server's certificate is not valid yet");
        return sb_error_hint(err, "is this machine's clock right?");
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        permanent(err, host, "the server's certificate is signed by an unknown authority");
        return sb_error_hint(err,
                             "put the authority's certificate into "
                             "/etc/docker/certs.d/%s/ca.crt, or name it with --ca",
                             host);
    default:
        break;
    }
    if (strstr(detail, "does not match") || strstr(detail, "subject name")) {
        permanent(err, host, "the server's certificate is for another name");
        return sb_error_hint(err, "use the name that is in the certificate, or have one made for "
                                  "this name");
    }
    sb_fail(err, SB_E_NETWORK, "%s: the server's certificate can't be verified: %s", host,
            sb_text_shown(detail).text);
    return sb_error_reason(err, SB_REASON_LASTING);
}

static int hint_client(struct sb_error *err, const char *host) {
    return sb_error_hint(err,
                         "if it wants a client certificate, put client.cert and client.key into "
                         "/etc/docker/certs.d/%s",
                         host);
}

/* With TLS 1.3 a server may close a connection without a certificate, before it says why. */
static int hint_certificate(struct sb_error *err, CURL *curl, const char *host) {
    long answered = 0;
    char *scheme = NULL;
    curl_easy_getinfo(curl, CURLINFO_HEADER_SIZE, &answered);
    curl_easy_getinfo(curl, CURLINFO_SCHEME, &scheme);
    return !answered && scheme && !strcasecmp(scheme, "https") ? hint_client(err, host) : -1;
}

/* The handshake, or what a server says of it later: TLS 1.3 looks at client certificates last. */
static int fail_tls(struct sb_error *err, const char *host, const char *detail) {
    if (strstr(detail, "wrong version number") || strstr(detail, "http request") ||
        strstr(detail, "packet length too long")) {
        permanent(err, host, "the server does not speak TLS");
        return sb_error_hint(err, "for a registry that speaks plain HTTP, set plain_http for it in "
                                  "~/.config/sbuild/config.yaml");
    }
    if (strstr(detail, "alert")) {
        sb_fail(err, SB_E_NETWORK, "%s: the server refused the TLS connection: %s", host,
                sb_text_shown(detail).text);
        sb_error_reason(err, SB_REASON_LASTING);
        if (strstr(detail, "certificate") || strstr(detail, "handshake failure"))
            hint_client(err, host);
        return -1;
    }
    sb_fail(err, SB_E_NETWORK, "%s: the TLS connection failed%s%s", host, *detail ? ": " : "",
            *detail ? sb_text_shown(detail).text : "");
    return sb_error_reason(err, SB_REASON_PASSING);
}

/* Of CONNECT, by which an HTTP proxy lets TLS through. */
static int fail_proxy(struct sb_error *err, const char *host, long status) {
    sb_fail(err, SB_E_NETWORK, "%s: the proxy refused the connection, with status %ld", host,
            status);
    bool passing = status >= 500 || status == 408 || status == 429;
    sb_error_reason(err, passing ? SB_REASON_PASSING : SB_REASON_LASTING);
    return status == 407 ? sb_error_hint(err, "put user and password into HTTPS_PROXY: "
                                              "http://USER:PASSWORD@PROXY:PORT")
                         : -1;
}

/* libcurl names whom it tried: the host, or the proxy on the way to it. */
static int fail_connect(struct sb_error *err, const char *host, long os_errno, const char *detail) {
    static const char before[] = "connect to ";
    const char *tried = strstr(detail, before), *port = tried ? strstr(tried, " port ") : NULL;
    struct sb_text_shown shown = sb_text_shown(detail);
    const char *why = os_errno ? strerror((int)os_errno) : shown.text;
    size_t n = 0;
    if (port) {
        tried += sizeof before - 1;
        n = (size_t)(port - tried);
    }
    if (n > 0 && strncmp(host, tried, n) != 0 && host[0] != '[') {
        sb_fail(err, SB_E_NETWORK, "%s: can't connect to the proxy %.*s port %d: %s", host, (int)n,
                tried, atoi(port + sizeof " port " - 1), why);
        sb_error_hint(err, "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names it; hosts in NO_PROXY are "
                           "asked without it");
    } else {
        sb_fail(err, SB_E_NETWORK, "%s: can't connect: %s", host, why);
    }
    return sb_error_reason(err, SB_REASON_PASSING);
}

int sb_failure(struct sb_error *err, CURL *curl, CURLcode code, const char *host,
               const char *detail) {
    long os_errno = 0, proxy_status = 0;
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_errno);
    curl_easy_getinfo(curl, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
    if (proxy_status >= 400)
        return fail_proxy(err, host, proxy_status);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return fail_name(err, host);
    case CURLE_COULDNT_RESOLVE_PROXY:
        return again(err, host, "the proxy's name can't be looked up");
    case CURLE_COULDNT_CONNECT:
        return fail_connect(err, host, os_errno, detail);
    case CURLE_OPERATION_TIMEDOUT:
        return again(err, host, "no answer in time");
    case CURLE_PEER_FAILED_VERIFICATION:
        return fail_certificate(err, curl, host, detail);
    case CURLE_SSL_CONNECT_ERROR:
        return fail_tls(err, host, detail);
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        sb_fail(err, SB_E_NETWORK, "%s: a certificate or key of this machine can't be used: %s",
                host, sb_text_shown(detail).text);
        return sb_error_reason(err, SB_REASON_LASTING);
    case CURLE_UNSUPPORTED_PROTOCOL: /* of a proxy's URL; or what was answered is no HTTP */
        if (strstr(detail, "HTTP/0.9"))
            return again(err, host, "what was answered is no HTTP");
        return permanent(err, host,
                         *detail ? sb_text_shown(detail).text : curl_easy_strerror(code));
    case CURLE_URL_MALFORMAT:
        return permanent(err, host,
                         *detail ? sb_text_shown(detail).text : curl_easy_strerror(code));
    case CURLE_SEND_FAIL_REWIND: /* exchange's own refusal */
        return again(err, host, "the connection broke");
    case CURLE_OUT_OF_MEMORY: /* what older libraries say of a line longer than 100 KiB */
#if LIBCURL_VERSION_NUM >= 0x080600
    case CURLE_TOO_LARGE:
#endif
        return permanent(err, host, "a header of the answer is too long, or memory is used up");
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return again(err, host, "the server closed the connection too early");
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        if (strstr(detail, "alert"))
            return fail_tls(err, host, detail);
        again(err, host, "the connection broke");
        return hint_certificate(err, curl, host);
    default:
        sb_fail(err, SB_E_NETWORK, "%s: %s", host,
                *detail ? sb_text_shown(detail).text : curl_easy_strerror(code));
        return sb_error_reason(err, SB_REASON_PASSING);
    }
}
