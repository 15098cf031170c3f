/* The settings of registries: one mapping for each host. */
#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/settings.h"
#include "document/settings_private.h"

#define HOSTS_LIMIT 256
#define ALNUM       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define AT(member)  offsetof(struct sb_registry_host, member)

/* ---- rules ---- */

/* The length of a name or an address in brackets at the start of text; 0: neither. */
static size_t host_length(const char *text) {
    if (*text == '[') {
        size_t n = strspn(text + 1, "0123456789abcdefABCDEF:.");
        return n >= 2 && text[n + 1] == ']' ? n + 2 : 0;
    }
    size_t n = strspn(text, ALNUM ".-");
    bool edges = n && !strchr(".-", text[0]) && !strchr(".-", text[n - 1]);
    return edges && !memmem(text, n, "..", 2) ? n : 0;
}

/* The same with ":PORT" behind it, if there is one. */
static size_t authority_length(const char *text) {
    size_t n = host_length(text);
    if (n == 0 || text[n] != ':')
        return n;
    size_t digits = strspn(text + n + 1, "0123456789");
    long port = digits > 0 && digits <= 5 ? strtol(text + n + 1, NULL, 10) : 0;
    return port >= 1 && port <= 65535 ? n + 1 + digits : 0;
}

static bool check_host(const char *text) {
    return *text && authority_length(text) == strlen(text);
}

/* Without scheme and path. */
static void suggest_host(const char *text, struct sb_buf *out) {
    const char *scheme = strstr(text, "://");
    text = scheme ? scheme + 3 : text;
    sb_buf_add(out, text, strcspn(text, "/"));
}

static const struct sb_rule rule_host = {
    .expected = "a registry's host, with its port if it has one, such as registry.example.com:5000",
    .check = check_host,
    .suggest = suggest_host,
    .longest = 255,
};

/* No user and password, as they would get into messages; no query, as paths are added. */
static bool check_base_url(const char *text) {
    size_t scheme = !strncmp(text, "https://", 8) ? 8 : !strncmp(text, "http://", 7) ? 7 : 0;
    size_t n = scheme ? authority_length(text + scheme) : 0;
    if (n == 0)
        return false;
    const char *path = text + scheme + n;
    return (!*path || *path == '/') && !path[strspn(path, ALNUM "/._~-")] && !strstr(path, "/../");
}

static void suggest_base_url(const char *text, struct sb_buf *out) {
    sb_buf_addf(out, "%s%s", strstr(text, "://") ? "" : "https://", text);
    char *query = strpbrk(out->data, "?#");
    if (query)
        *query = '\0';
}

static const struct sb_rule rule_base_url = {
    .expected = "a URL with http or https, without user, password and query",
    .check = check_base_url,
    .suggest = suggest_base_url,
    .longest = 1024,
};

/* ---- the table ---- */

static const struct sb_key host_keys[] = {
    {"plain_http", SB_KEY_BOOL, AT(plain_http), .fallback = "false",
     .description = "Speak HTTP without TLS. Loopback hosts fall back to it by themselves."},
    {"skip_verify", SB_KEY_BOOL, AT(skip_verify), .fallback = "false",
     .description = "Accept any certificate."},
    {"ca", SB_KEY_STRING, AT(ca), .not_empty = true,
     .description = "PEM file of an authority that is trusted beside the system's."},
    {"client_cert", SB_KEY_STRING, AT(client_cert), .not_empty = true,
     .description = "PEM file of the certificate that is shown to the registry."},
    {"client_key", SB_KEY_STRING, AT(client_key), .not_empty = true,
     .description = "PEM file of its key."},
    {"mirrors", SB_KEY_STRINGS, AT(mirrors), .rule = &rule_base_url, .one_or_many = true,
     .most = 16, .description = "Asked before the registry itself, for reading."},
    {"endpoint", SB_KEY_STRING, AT(endpoint), .rule = &rule_base_url,
     .description = "Where requests for this host go instead."},
    {0},
};

static void free_host(struct sb_registry_host *host) {
    sb_schema_free(host_keys, host);
    free(host->host);
}

void sb_registries_free(struct sb_registry_hosts *hosts) {
    for (size_t i = 0; i < hosts->n; i++)
        free_host(&hosts->v[i]);
    free(hosts->v);
    *hosts = (struct sb_registry_hosts){0};
}

static bool has_host(const struct sb_registry_hosts *hosts, const char *name) {
    for (size_t i = 0; i < hosts->n; i++)
        if (!strcmp(hosts->v[i].host, name))
            return true;
    return false;
}

void sb_settings_resolve(char **path, const char *file) {
    if (!*path)
        return;
    sb_autofree char *joined = sb_path_beside(file, *path);
    free(*path);
    *path = sb_path_clean(joined);
}

static void read_host(struct sb_reader *reader, const struct sb_yaml *name,
                      const struct sb_yaml *value, struct sb_registry_hosts *hosts) {
    struct sb_registry_host host = {.host = sb_strdup(name->text)};
    for (char *p = host.host; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    sb_schema_read(reader, host_keys, name->text, value, &host);
    if (!host.client_cert != !host.client_key)
        sb_reader_problem(reader, value, "key \"%s\": goes with \"%s\" only",
                          host.client_cert ? "client_cert" : "client_key",
                          host.client_cert ? "client_key" : "client_cert");
    if (has_host(hosts, host.host)) {
        sb_reader_problem(reader, name, "key %s: given twice, as case doesn't matter",
                          sb_text_shown(name->text).text);
        free_host(&host);
        return;
    }
    sb_settings_resolve(&host.ca, reader->file);
    sb_settings_resolve(&host.client_cert, reader->file);
    sb_settings_resolve(&host.client_key, reader->file);
    SB_GROW(hosts->v, hosts->n, hosts->cap);
    hosts->v[hosts->n++] = host;
}

void sb_registries_read(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *target) {
    struct sb_registry_hosts *hosts = (void *)((char *)target + key->offset);
    if (node->type != SB_YAML_MAPPING) {
        sb_reader_problem(reader, node, "key \"%s\": expected a mapping of hosts, found %s",
                          key->name, sb_yaml_type_name(node));
        return;
    }
    if (node->count > HOSTS_LIMIT) {
        sb_reader_problem(reader, node, "key \"%s\": expected at most %d, found %zu", key->name,
                          HOSTS_LIMIT, node->count);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct sb_yaml *name = node->items[2 * i];
        if (sb_schema_check(reader, key->name, &rule_host, name->text, name))
            read_host(reader, name, node->items[2 * i + 1], hosts);
    }
}

void sb_registries_add(struct sb_registry_hosts *to, struct sb_registry_hosts *from) {
    size_t kept = 0;
    for (size_t i = 0; i < from->n; i++) {
        if (has_host(to, from->v[i].host)) {
            from->v[kept++] = from->v[i];
            continue;
        }
        SB_GROW(to->v, to->n, to->cap);
        to->v[to->n++] = from->v[i];
    }
    from->n = kept;
}

void sb_settings_registry(const struct sb_settings *settings, struct sb_registry_options *out) {
    out->http.hosts = &settings->registries;
    if (settings->has_patience)
        out->patience = settings->patience > 0 ? (int64_t)settings->patience : -1;
}
