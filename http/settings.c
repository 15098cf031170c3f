#include "http/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"

static char *copy_text(const json_t *object, const char *key) {
    const char *text = sb_json_string(object, key, NULL);
    return text && *text ? sb_strdup(text) : NULL;
}

int sb_http_settings_parse(const char *text, size_t len, struct sb_http_settings *out,
                           struct sb_error *err) {
    *out = (struct sb_http_settings){.stall_seconds = 30};
    sb_autojson json_t *value = sb_json_parse(text, len, err);
    if (!value)
        return sb_error_context(err, "settings of sbuild-http");
    const char *version = sb_json_string(value, "version", "");
    if (*version && strcmp(version, SB_VERSION) != 0)
        return sb_fail(err, SB_E_FAILED,
                       "sbuild-http " SB_VERSION " does not fit sbuild %s: install both together",
                       version);
    json_int_t stall = sb_json_integer(value, "stall", 0);
    if (stall > 0 && stall <= 86400)
        out->stall_seconds = (int)stall;
    const json_t *hosts = json_object_get(value, "hosts");
    out->hosts = sb_alloc((json_array_size(hosts) + 1) * sizeof *out->hosts);
    size_t i;
    const json_t *host;
    json_array_foreach (hosts, i, host) {
        out->hosts[out->host_count++] = (struct sb_host_settings){
            .host = sb_strdup(sb_json_string(host, "host", "")),
            .plain_http = json_is_true(json_object_get(host, "plain_http")),
            .skip_verify = json_is_true(json_object_get(host, "skip_verify")),
            .ca = copy_text(host, "ca"),
            .client_cert = copy_text(host, "client_cert"),
            .client_key = copy_text(host, "client_key"),
        };
    }
    return 0;
}

void sb_http_settings_free(struct sb_http_settings *settings) {
    for (size_t i = 0; i < settings->host_count; i++) {
        struct sb_host_settings *host = &settings->hosts[i];
        free(host->host);
        free(host->ca);
        free(host->client_cert);
        free(host->client_key);
    }
    free(settings->hosts);
    *settings = (struct sb_http_settings){0};
}

const struct sb_host_settings *sb_http_settings_host(const struct sb_http_settings *settings,
                                                     const char *host) {
    const struct sb_host_settings *others = NULL;
    for (size_t i = 0; i < settings->host_count; i++) {
        if (!strcmp(settings->hosts[i].host, host))
            return &settings->hosts[i];
        if (!strcmp(settings->hosts[i].host, "*"))
            others = &settings->hosts[i];
    }
    return others;
}
