#include "http/realm.h"

#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/text.h"

static bool said_plain(const struct sb_http_settings *settings, const char *host) {
    const struct sb_host_settings *set = sb_http_settings_host(settings, host);
    return set && set->plain_http;
}

bool sb_realm_origin_is_safe(const struct sb_http_settings *settings, const char *host,
                             const char *origin) {
    if (!strncmp(origin, "https://", 8))
        return true;
    return !strncmp(origin, "http://", 7) &&
           (sb_host_is_loopback(origin + 7) || said_plain(settings, host));
}

/* Names under which clouds answer for a machine's own secrets, beside the addresses. */
static bool is_metadata_name(const char *host) {
    static const char *const names[] = {"metadata", "metadata.google.internal",
                                        "instance-data.ec2.internal", "metadata.goog",
                                        "instance-data"};
    size_t len = strcspn(host, ":");
    if (len > 0 && host[len - 1] == '.')
        len--;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && !strncasecmp(host, names[i], len))
            return true;
    return false;
}

/* NULL when it may be asked. */
static const char *objection(const struct sb_http_settings *settings,
                             const struct sb_auth_request *request, CURLU *url) {
    sb_autofree char *authority = sb_url_authority(url);
    sb_autofree char *origin = sb_url_origin(url);
    sb_autofree char *host =
        sb_strndup(authority, *authority == '[' ? strlen(authority) : strcspn(authority, ":"));
    if (sb_reach_of_text(host) == SB_REACH_LINK_LOCAL || is_metadata_name(authority))
        return "a link-local address is this machine's own matter";
    if (sb_url_is_https(url))
        return NULL;
    bool plain = !strncmp(request->origin, "http://", 7) ||
                 sb_host_is_loopback(strstr(request->origin, "://") + 3);
    if (!plain || !sb_realm_origin_is_safe(settings, request->host, origin))
        return "it is without TLS";
    return NULL;
}

CURLU *sb_realm_parse(const struct sb_http_settings *settings,
                      const struct sb_auth_request *request, const char *realm,
                      struct sb_error *err) {
    sb_autourl CURLU *url = sb_url_parse(realm, err);
    const char *why = url ? objection(settings, request, url) : NULL;
    if (url && !why)
        return sb_steal(url);
    if (url)
        sb_fail(err, SB_E_NETWORK, "%s: %s", sb_text_shown(realm).text, why);
    sb_error_reason(err, SB_REASON_DENIED);
    sb_error_context(err, "registry %s wants tokens from a server that is not asked",
                     request->host);
    return NULL;
}
