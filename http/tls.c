#include "http/tls.h"

#include <stdlib.h>

#include "base/memory.h"

void sb_tls_find(const struct sb_settings *settings, const char *host, struct sb_tls *out) {
    *out = (struct sb_tls){0};
    const struct sb_host_settings *set = settings ? sb_settings_host(settings, host) : NULL;
    if (!set)
        return;
    out->skip_verify = set->skip_verify;
    if (set->ca)
        sb_strings_add(&out->authorities, set->ca);
    if (set->client_cert) {
        out->client_cert = sb_strdup(set->client_cert);
        out->client_key = sb_strdup(set->client_key ? set->client_key : set->client_cert);
    }
}

void sb_tls_free(struct sb_tls *tls) {
    sb_strings_free(&tls->authorities);
    free(tls->client_cert);
    free(tls->client_key);
    *tls = (struct sb_tls){0};
}

int sb_tls_apply(CURL *curl, const struct sb_tls *tls, struct sb_error *err) {
    (void)err;
    if (tls->skip_verify) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (tls->authorities.n)
        curl_easy_setopt(curl, CURLOPT_CAINFO, tls->authorities.v[0]);
    if (tls->client_cert) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, tls->client_cert);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, tls->client_key);
    }
    return 0;
}
