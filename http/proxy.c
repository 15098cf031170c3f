#include "http/proxy.h"

#include <curl/curl.h>
#include <stddef.h>
#include <stdlib.h>

static const char *const variables[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
enum { VARIABLES = sizeof variables / sizeof *variables, DEFAULT_PORT = 1080 };
static int ports[VARIABLES];

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

void sb_proxy_init(void) {
    for (size_t i = 0; i < VARIABLES; i++) {
        const char *text = getenv(variables[i]);
        ports[i] = text && *text ? port_of(text) : 0;
    }
}

bool sb_proxy_has_port(int port) {
    for (size_t i = 0; i < VARIABLES; i++)
        if (port && ports[i] == port)
            return true;
    return false;
}
