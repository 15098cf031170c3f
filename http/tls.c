#include "http/tls.h"

#include <dirent.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

/* ---- certs.d ---- */

static bool ends_in(const char *name, const char *suffix) {
    size_t len = strlen(name), end = strlen(suffix);
    return len > end && !strcmp(name + len - end, suffix);
}

static int add_client(const char *dir, const char *name, struct sb_tls *out, struct sb_error *err) {
    int stem = (int)(strlen(name) - strlen(".cert"));
    sb_autofree char *key = sb_format("%s/%.*s.key", dir, stem, name);
    if (access(key, F_OK) < 0)
        return sb_fail(err, SB_E_NETWORK, "%s/%s: its key %.*s.key is not there", dir, name, stem,
                       name);
    out->client_cert = sb_format("%s/%s", dir, name);
    out->client_key = sb_steal(key);
    return 0;
}

/* As Docker and podman do: whoever put a key there expects it to be used. */
static int check_key(const char *dir, const char *name, struct sb_error *err) {
    int stem = (int)(strlen(name) - strlen(".key"));
    sb_autofree char *cert = sb_format("%s/%.*s.cert", dir, stem, name);
    if (access(cert, F_OK) == 0)
        return 0;
    sb_fail(err, SB_E_NETWORK, "%s/%s: its certificate %.*s.cert is not there", dir, name, stem,
            name);
    return sb_error_hint(err, "authorities end in .crt, client certificates in .cert");
}

/* In the order of names, so that it does not depend on the file system which one is first. */
static int add_directory(const char *dir, bool own, struct sb_tls *out, struct sb_error *err) {
    sb_autoclosedir DIR *entries = opendir(dir);
    if (!entries)
        return 0;
    sb_autostrings struct sb_strings names = {0};
    for (const struct dirent *entry; (entry = readdir(entries));)
        sb_strings_add(&names, entry->d_name);
    sb_strings_sort(&names);
    for (size_t i = 0; i < names.n; i++) {
        if (ends_in(names.v[i], ".crt"))
            sb_strings_addf(&out->authorities, "%s/%s", dir, names.v[i]);
        else if (own && ends_in(names.v[i], ".cert") && !out->client_cert &&
                 add_client(dir, names.v[i], out, err) < 0)
            return -1;
        else if (own && ends_in(names.v[i], ".key") && check_key(dir, names.v[i], err) < 0)
            return -1;
    }
    return 0;
}

static int add_directories(const char *host, bool own, struct sb_tls *out, struct sb_error *err) {
    if (strchr(host, '/') || *host == '.')
        return 0;
    const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
    sb_autofree char *config_dir = config && *config == '/' ? sb_strdup(config)
                                   : home && *home == '/'   ? sb_format("%s/.config", home)
                                                            : NULL;
    sb_autostrings struct sb_strings dirs = {0};
    if (config_dir)
        sb_strings_addf(&dirs, "%s/containers", config_dir);
    if (home && *home == '/')
        sb_strings_addf(&dirs, "%s/.docker", home);
    if (config_dir)
        sb_strings_addf(&dirs, "%s/docker", config_dir);
    sb_strings_add(&dirs, "/etc/containers");
    sb_strings_add(&dirs, "/etc/docker");
    for (size_t i = 0; i < dirs.n; i++) {
        sb_autofree char *dir = sb_format("%s/certs.d/%s", dirs.v[i], host);
        if (add_directory(dir, own, out, err) < 0)
            return -1;
    }
    return 0;
}

/* Which client certificate is shown: where a server sends us, only one meant for that very host. */
enum client { CLIENT_NONE, CLIENT_NAMED, CLIENT_ANY };

static int add_host(const struct sb_http_settings *settings, const char *host, enum client client,
                    struct sb_tls *out, struct sb_error *err) {
    const struct sb_host_settings *set = sb_http_settings_host(settings, host);
    if (set && set->skip_verify)
        out->skip_verify = true;
    if (set && set->ca)
        sb_strings_add(&out->authorities, set->ca);
    bool named = set && !strcmp(set->host, host);
    if (set && set->client_cert && (client == CLIENT_ANY || (client == CLIENT_NAMED && named))) {
        out->client_cert = sb_strdup(set->client_cert);
        out->client_key = sb_strdup(set->client_key ? set->client_key : set->client_cert);
    }
    return add_directories(host, client != CLIENT_NONE, out, err);
}

/* The libraries would wait for a FIFO's writer. */
static int check_file(const char *path, struct sb_error *err) {
    struct stat st;
    if (!path || stat(path, &st) < 0) /* what is missing they tell */
        return 0;
    return sb_file_check(&st, path, err);
}

static int check_files(const struct sb_tls *tls, struct sb_error *err) {
    for (size_t i = 0; i < tls->authorities.n; i++)
        if (check_file(tls->authorities.v[i], err) < 0)
            return -1;
    return check_file(tls->client_cert, err) < 0 ? -1 : check_file(tls->client_key, err);
}

int sb_tls_find(const struct sb_http_settings *settings, const char *host, const char *registry,
                struct sb_tls *out, struct sb_error *err) {
    *out = (struct sb_tls){0};
    bool same = !registry || !strcmp(registry, host);
    if (add_host(settings, host, same ? CLIENT_ANY : CLIENT_NAMED, out, err) == 0 &&
        (same || add_host(settings, registry, CLIENT_NONE, out, err) == 0) &&
        check_files(out, err) == 0)
        return 0;
    sb_tls_free(out);
    return -1;
}

void sb_tls_free(struct sb_tls *tls) {
    sb_strings_free(&tls->authorities);
    free(tls->client_cert);
    free(tls->client_key);
    *tls = (struct sb_tls){0};
}

/* ---- the handle ---- */

static CURLcode add_authorities(CURL *curl, void *context, void *data) {
    (void)curl;
    struct sb_tls *tls = data;
    for (size_t i = 0; i < tls->authorities.n; i++)
        if (SSL_CTX_load_verify_locations(context, tls->authorities.v[i], NULL) != 1) {
            tls->unusable = tls->authorities.v[i];
            return CURLE_SSL_CACERT_BADFILE;
        }
    return CURLE_OK;
}

/* The directory of the system's authorities where each is found by its hash, when it is wanted;
 * reading all of them from one file takes 10 ms for each connection. */
static const char system_dir[] = "/etc/ssl/certs";
static bool has_system_dir;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void look_for_system_dir(void) {
    sb_autoclosedir DIR *entries = opendir(system_dir);
    if (!entries)
        return;
    for (const struct dirent *entry; !has_system_dir && (entry = readdir(entries));)
        has_system_dir = strspn(entry->d_name, "0123456789abcdef") == 8 && entry->d_name[8] == '.';
}

static void set_system_authorities(CURL *curl) {
    const char *file = getenv("SSL_CERT_FILE"), *dir = getenv("SSL_CERT_DIR");
    pthread_once(&once, look_for_system_dir);
    if (file && *file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, file);
    if (dir && *dir)
        curl_easy_setopt(curl, CURLOPT_CAPATH, dir);
    if ((!file || !*file) && (!dir || !*dir) && has_system_dir) {
        curl_easy_setopt(curl, CURLOPT_CAPATH, system_dir);
        curl_easy_setopt(curl, CURLOPT_CAINFO, NULL);
    }
}

void sb_tls_apply(CURL *curl, struct sb_tls *tls) {
    set_system_authorities(curl);
    if (tls->skip_verify) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (tls->authorities.n) {
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, add_authorities);
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, tls);
#if LIBCURL_VERSION_NUM >= 0x075700
        /* Otherwise other hosts' connections would trust them too: libcurl shares what it read. */
        curl_easy_setopt(curl, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
    }
    if (tls->client_cert) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, tls->client_cert);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, tls->client_key);
        curl_easy_setopt(curl, CURLOPT_KEYPASSWD, ""); /* never ask for one on the terminal */
    }
}
