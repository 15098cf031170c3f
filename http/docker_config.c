#include "http/docker_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "http/base64.h"
#include "http/secret.h"

/* Docker's key for docker.io, from the days of another API. */
static const char hub_server[] = "https://index.docker.io/v1/";

/* ---- reading ---- */

int sb_docker_config_parse(const char *text, size_t len, const char *path,
                           struct sb_docker_config *out, struct sb_error *err) {
    *out = (struct sb_docker_config){.path = sb_strdup(path)};
    bool empty = len == 0 || strspn(text, " \t\r\n") == len;
    json_error_t e = {.line = 1, .column = 1};
    out->root = empty ? json_object() : json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
    /* e.text quotes the file: it is not for messages. */
    if (!out->root)
        sb_fail(err, SB_E_FAILED, "%s:%d:%d: not valid JSON", path, e.line, e.column);
    else if (!json_is_object(out->root))
        sb_fail(err, SB_E_FAILED, "%s: not a JSON object", path);
    else
        return 1;
    return sb_error_hint(err, "docker's config.json and podman's auth.json are such files");
}

static bool is_legacy(const char *path) {
    static const char name[] = "/.dockercfg";
    size_t len = strlen(path), end = sizeof name - 1;
    return len >= end && !strcmp(path + len - end, name);
}

int sb_docker_config_read(const char *path, struct sb_docker_config *out, struct sb_error *err) {
    *out = (struct sb_docker_config){0};
    sb_autosecret struct sb_buf text = {0};
    sb_buf_reserve(&text, SB_DOCKER_CONFIG_LIMIT + (64 << 10)); /* so that it is never moved */
    struct sb_error why = {0};
    if (sb_file_read(AT_FDCWD, path, SB_DOCKER_CONFIG_LIMIT, &text, &why) == 0) {
        int parsed = sb_docker_config_parse(sb_buf_text(&text), text.len, path, out, err);
        if (parsed > 0 && is_legacy(path)) /* what is "auths" today, and nothing else */
            out->root = json_pack("{s:o}", "auths", out->root);
        return parsed;
    }
    *out = (struct sb_docker_config){.path = sb_strdup(path), .root = json_object()};
    if (why.code == SB_E_NOT_FOUND || why.os_errno == ENOTDIR)
        return 0;
    if (err)
        *err = why;
    return sb_error_context(err, "credentials");
}

void sb_docker_config_free(struct sb_docker_config *config) {
    free(config->path);
    json_decref(config->root);
    *config = (struct sb_docker_config){0};
}

/* ---- which key is whose ---- */

static bool is_hub(const char *host) {
    return !strcasecmp(host, "docker.io") || !strcasecmp(host, "index.docker.io") ||
           !strcasecmp(host, "registry-1.docker.io");
}

const char *sb_docker_config_server(const char *host) {
    return is_hub(host) ? hub_server : host;
}

static bool is_api_path(const char *path) {
    return path[0] == 'v' && (path[1] == '1' || path[1] == '2') &&
           (!path[2] || !strcmp(path + 2, "/"));
}

/* How much of a repository a key of auths is for: 0 for all of the host, the length of the path for
 * "host/team", -1 when it is for others. Keys that are URLs are for all of a host. repository NULL:
 * any. */
static int key_reach(const char *key, const char *host, const char *repository) {
    const char *start = !strncasecmp(key, "https://", 8)  ? key + 8
                        : !strncasecmp(key, "http://", 7) ? key + 7
                                                          : key;
    size_t n = strcspn(start, "/");
    sb_autofree char *key_host = sb_strndup(start, n);
    if (strcasecmp(key_host, host) != 0 && !(is_hub(host) && is_hub(key_host)))
        return -1;
    const char *path = start[n] ? start + n + 1 : "";
    if (start != key || !*path || is_api_path(path))
        return 0;
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    bool holds = !repository ||
                 (!strncmp(repository, path, len) && (!repository[len] || repository[len] == '/'));
    return holds ? (int)len : -1;
}

const char *sb_docker_config_helper(const struct sb_docker_config *config, const char *host) {
    const json_t *helpers = json_object_get(config->root, "credHelpers");
    const char *exact = sb_json_string(helpers, host, NULL);
    if (exact)
        return *exact ? exact : NULL;
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)helpers, key, value)
        if (json_is_string(value) && key_reach(key, host, "") == 0)
            return *json_string_value(value) ? json_string_value(value) : NULL;
    const char *store = sb_json_string(config->root, "credsStore", "");
    return *store ? store : NULL;
}

bool sb_docker_config_has_paths(const struct sb_docker_config *config, const char *host) {
    const char *key;
    json_t *value;
    json_object_foreach (json_object_get(config->root, "auths"), key, value)
        if (key_reach(key, host, NULL) > 0)
            return true;
    return false;
}

/* The key of the entry that reaches furthest into the repository; NULL. One that is spelled as the
 * host comes before others for all of it. */
static const char *find_key(const struct sb_docker_config *config, const char *host,
                            const char *repository) {
    const char *key, *best = NULL;
    json_t *value;
    int best_reach = -1;
    json_object_foreach (json_object_get(config->root, "auths"), key, value) {
        int reach = key_reach(key, host, repository);
        if (reach > best_reach || (reach == 0 && best_reach == 0 && !strcmp(key, host))) {
            best = key;
            best_reach = reach;
        }
    }
    return best;
}

/* ---- an entry ---- */

/* A copy that isn't empty; NULL otherwise. */
static char *take(const json_t *entry, const char *key) {
    const char *text = sb_json_string(entry, key, "");
    return *text ? sb_strdup(text) : NULL;
}

/* "user:password" in base64; some writers padded it with NULs. */
static int decode_auth(const char *text, struct sb_credential *out) {
    sb_autosecret struct sb_buf plain = {0};
    if (sb_base64_decode(text, &plain) < 0)
        return -1;
    while (plain.len > 0 && plain.data[plain.len - 1] == '\0')
        plain.len--;
    const char *colon = plain.len ? memchr(plain.data, ':', plain.len) : NULL;
    if (!colon || strlen(plain.data) < plain.len)
        return -1;
    out->user = sb_strndup(plain.data, (size_t)(colon - plain.data));
    size_t rest = plain.len - (size_t)(colon - plain.data) - 1;
    if (rest > 0)
        out->password = sb_strndup(colon + 1, rest);
    return 0;
}

int sb_docker_config_find(const struct sb_docker_config *config, const char *host,
                          const char *repository, struct sb_credential *out, struct sb_error *err) {
    *out = (struct sb_credential){0};
    const char *key = find_key(config, host, repository);
    if (!key)
        return 0;
    const json_t *entry = json_object_get(json_object_get(config->root, "auths"), key);
    const char *auth = sb_json_string(entry, "auth", "");
    if (*auth && decode_auth(auth, out) < 0) {
        sb_credential_free(out);
        sb_fail(err, SB_E_FAILED, "%s: auths: %s: auth is not user:password in base64",
                config->path, sb_text_shown(key).text);
        return sb_error_hint(err, "sbuild login %s writes it anew", host);
    }
    if (!*auth) {
        out->user = take(entry, "username");
        out->password = take(entry, "password");
    }
    out->identity_token = take(entry, "identitytoken");
    out->registry_token = take(entry, "registrytoken");
    out->source = sb_strdup(config->path);
    if (sb_credential_given(out))
        return 1;
    sb_credential_free(out);
    return 0;
}

/* ---- writing ---- */

static json_t *make_entry(const struct sb_credential *credential) {
    json_t *entry = json_object();
    if (!credential)
        return entry;
    sb_autosecret struct sb_buf plain = {0}, text = {0};
    sb_secret_adds(&plain, credential->user ? credential->user : "");
    sb_secret_adds(&plain, ":");
    if (!credential->identity_token)
        sb_secret_adds(&plain, credential->password);
    sb_base64_encode(plain.data, plain.len, &text);
    json_object_set_new(entry, "auth", json_string(text.data));
    if (credential->identity_token)
        json_object_set_new(entry, "identitytoken", json_string(credential->identity_token));
    return entry;
}

void sb_docker_config_set(struct sb_docker_config *config, const char *host,
                          const struct sb_credential *credential) {
    json_t *auths = json_object_get(config->root, "auths");
    if (!json_is_object(auths)) {
        auths = json_object();
        json_object_set_new(config->root, "auths", auths);
    }
    const char *key = find_key(config, host, "");
    sb_autofree char *name = sb_strdup(key ? key : sb_docker_config_server(host));
    json_object_set_new(auths, name, make_entry(credential));
}

bool sb_docker_config_remove(struct sb_docker_config *config, const char *host) {
    bool found = false;
    for (const char *key; (key = find_key(config, host, "")); found = true) {
        sb_autofree char *name = sb_strdup(key);
        json_object_del(json_object_get(config->root, "auths"), name);
    }
    return found;
}

int sb_docker_config_write(const struct sb_docker_config *config, struct sb_error *err) {
    sb_autofree char *target = realpath(config->path, NULL);
    const char *path = target ? target : config->path;
    sb_autofree char *dir = sb_path_dirname(path);
    const json_t *root = is_legacy(path) ? json_object_get(config->root, "auths") : config->root;
    char *text = json_dumps(root, JSON_INDENT(4));
    if (!text)
        return sb_fail(err, SB_E_FAILED, "%s: can't be written as JSON", path);
    sb_autosecret struct sb_buf out = {0};
    sb_secret_adds(&out, text);
    sb_secret_adds(&out, "\n");
    sb_secret_free_text(&text);
    if (sb_directory_make(AT_FDCWD, dir, 0700, err) < 0 ||
        sb_file_write(AT_FDCWD, path, out.data, out.len, 0600, err) < 0)
        return sb_error_context(err, "credentials");
    return 0;
}
