#include "http/simple.h"

#include <string.h>

int sb_simple(const struct sb_settings *settings, const struct sb_simple_request *request,
              struct sb_simple_response *response, struct sb_error *err) {
    (void)settings, (void)response;
    return sb_fail(err, SB_E_NETWORK, "%s: not there yet", request->url);
}

void sb_simple_response_free(struct sb_simple_response *response) {
    sb_strings_free(&response->headers);
    sb_buf_free(&response->body);
}

const char *sb_header_find(const struct sb_strings *headers, const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < headers->n; i++)
        if (!strncmp(headers->v[i], name, len) && headers->v[i][len] == ':')
            return headers->v[i] + len + 1 + strspn(headers->v[i] + len + 1, " ");
    return NULL;
}
