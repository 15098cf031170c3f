#include "cli/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"

static void set(struct sb_registry_host *host, const char *ca, bool plain_http) {
    if (ca) {
        free(host->ca);
        host->ca = sb_strdup(ca);
        host->skip_verify = false;
    }
    host->plain_http = host->plain_http || plain_http;
}

int sb_cli_registry_apply(const struct sb_cli_registry *options, struct sb_settings *settings,
                          struct sb_error *err) {
    struct sb_registry_hosts *hosts = &settings->registries;
    sb_autofree char *ca = options->ca ? realpath(options->ca, NULL) : NULL;
    if (options->ca && (!ca || access(ca, R_OK) < 0))
        return sb_fail_errno(err, SB_E_USAGE, "--ca %s", options->ca);
    if (ca || options->plain_http) {
        SB_GROW(hosts->v, hosts->n, hosts->cap);
        hosts->v[hosts->n++] = (struct sb_registry_host){.host = sb_strdup("*")};
        for (size_t i = 0; i < hosts->n; i++)
            set(&hosts->v[i], ca, options->plain_http);
    }
    return 0;
}

void sb_cli_registry_say(void *data, const char *text) {
    (void)data;
    fprintf(stderr, "  %s\n", text);
}

int sb_cli_registry_open(const struct sb_cli_registry *options, struct sb_settings *settings,
                         struct sb_registry **out, struct sb_error *err) {
    *out = NULL;
    if (sb_cli_registry_apply(options, settings, err) < 0)
        return -1;
    struct sb_registry_options registry = {0};
    sb_settings_registry(settings, &registry);
    *out = sb_registry_new(&registry);
    sb_registry_tell(*out, sb_cli_registry_say, NULL);
    return 0;
}

int sb_cli_registry_target(const char *text, const char *option, struct sb_reference *out,
                           struct sb_error *err) {
    *out = (struct sb_reference){0};
    if (!sb_reference_has_host(text)) {
        sb_fail(err, SB_E_USAGE, "%s: %s does not say which registry", option,
                sb_text_shown(text).text);
        return sb_error_hint(err, "begin with its host: registry.example.com/%.200s", text);
    }
    if (sb_reference_parse(text, out, err) < 0)
        return sb_error_context(err, "%s", option);
    if (!out->has_digest)
        return 0;
    sb_reference_free(out);
    return sb_fail(err, SB_E_USAGE, "%s: %s has a digest: it is the image that decides it", option,
                   sb_text_shown(text).text);
}
