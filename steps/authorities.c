#include "steps/authorities.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "sandbox/inroot_files.h"
#include "steps/mounts_private.h"

enum { FILE_LIMIT = 16 << 20 };

#define FILE_NAME "authorities.pem"
#define APT_NAME  "apt.conf"
#define WGET_NAME "wgetrc"
#define PLACE     SB_AUTHORITIES_PLACE "/"

/* OpenSSL, Go and rustls; requests, curl, pip, git, node, npm (whose own settings would win),
 * cargo, deno, AWS, gRPC. */
static const char *const variables[] = {"SSL_CERT_FILE",
                                        "REQUESTS_CA_BUNDLE",
                                        "CURL_CA_BUNDLE",
                                        "PIP_CERT",
                                        "GIT_SSL_CAINFO",
                                        "NODE_EXTRA_CA_CERTS",
                                        "NPM_CONFIG_CAFILE",
                                        "CARGO_HTTP_CAINFO",
                                        "DENO_CERT",
                                        "AWS_CA_BUNDLE",
                                        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
                                        NULL};

/* Of distributions; the first that is there. */
static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                      "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                                      "/etc/ssl/cert.pem", NULL};

/* ---- the settings' file ---- */

static int check_text(const char *text, const char *path, struct sb_error *err) {
    if (strstr(text, "PRIVATE KEY-----")) {
        sb_fail(err, SB_E_USAGE, "%s holds a private key, which steps would see", path);
        return sb_error_hint(err, "let the file have the authorities' certificates alone");
    }
    if (strstr(text, "-----BEGIN CERTIFICATE-----") ||
        strstr(text, "-----BEGIN TRUSTED CERTIFICATE-----"))
        return 0;
    sb_fail(err, SB_E_USAGE, "%s holds no certificate in PEM", path);
    return sb_error_hint(err, "openssl x509 -inform der -in FILE -out FILE.pem makes one of DER");
}

static int read_authorities(const char *path, struct sb_buf *out, struct sb_error *err) {
    if (sb_file_read(AT_FDCWD, path, FILE_LIMIT, out, err) < 0 ||
        check_text(sb_buf_text(out), path, err) < 0)
        return sb_error_context(err, "the authorities that steps are to trust (steps: "
                                     "{authorities: …} of the settings)");
    return 0;
}

int sb_step_authorities_check(const struct sb_settings *settings, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    return settings && settings->authorities ? read_authorities(settings->authorities, &text, err)
                                             : 0;
}

/* ---- what programs get ---- */

static void add_newline(struct sb_buf *text) {
    if (text->len && text->data[text->len - 1] != '\n')
        sb_buf_addc(text, '\n');
}

/* A file of the root's; false when it can't be read. */
static bool add_file(int root, const char *path, struct sb_strings *added, struct sb_buf *out) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_strings_has(added, path))
        return true;
    if (!sb_inroot_exists(root, path) || sb_inroot_read(root, path, FILE_LIMIT, &text, NULL) < 0)
        return false;
    sb_strings_add(added, path);
    add_newline(out);
    sb_buf_add(out, sb_buf_text(&text), text.len);
    return true;
}

/* What a variable names that can't be read here, such as a secret, stays. */
static void set_variables(int root, struct sb_pairs *env, struct sb_buf *out) {
    sb_autostrings struct sb_strings added = {0};
    for (size_t i = 0; bundles[i] && added.n == 0; i++)
        add_file(root, bundles[i], &added, out);
    for (size_t i = 0; variables[i]; i++) {
        const char *value = sb_pairs_get(env, variables[i]);
        bool ours = !value || !*value || (*value == '/' && add_file(root, value, &added, out));
        if (ours)
            sb_pairs_set(env, variables[i], PLACE FILE_NAME);
    }
    add_newline(out);
}

/* apt and wget have no variable for it but one that names a file of settings. */
static int give_settings(const char *directory, int root, struct sb_pairs *env,
                         struct sb_error *err) {
    static const char apt[] = "Acquire::https::CaInfo \"" PLACE FILE_NAME "\";\n";
    sb_autobuf struct sb_buf wget = {0};
    if (!sb_inroot_exists(root, "/etc/wgetrc") ||
        sb_inroot_read(root, "/etc/wgetrc", FILE_LIMIT, &wget, NULL) < 0)
        sb_buf_reset(&wget);
    add_newline(&wget);
    sb_buf_adds(&wget, "ca_certificate = " PLACE FILE_NAME "\n");
    if (sb_step_mounts_write(directory, APT_NAME, apt, sizeof apt - 1, 0444, err) < 0 ||
        sb_step_mounts_write(directory, WGET_NAME, wget.data, wget.len, 0444, err) < 0)
        return -1;
    if (!sb_pairs_get(env, "APT_CONFIG"))
        sb_pairs_set(env, "APT_CONFIG", PLACE APT_NAME);
    if (!sb_pairs_get(env, "SYSTEM_WGETRC"))
        sb_pairs_set(env, "SYSTEM_WGETRC", PLACE WGET_NAME);
    return 0;
}

/* Whether the step itself has a file where programs look without being told: a secret. It is alone
 * then, as it would be in a variable. */
static bool brings_own(const struct sb_step_mounts *mounts, int root) {
    for (size_t i = 0; bundles[i]; i++) {
        bool exists;
        sb_autofree char *path = sb_inroot_resolve(root, bundles[i], &exists, NULL);
        for (size_t k = 0; k < mounts->n && path; k++)
            if (!strcmp(mounts->v[k].destination, path))
                return true;
    }
    return false;
}

int sb_step_authorities_give(const struct sb_step_mounts *mounts, int root, struct sb_pairs *env,
                             struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (!mounts->authorities || brings_own(mounts, root))
        return 0;
    if (read_authorities(mounts->context->settings->authorities, &text, err) < 0)
        return -1;
    set_variables(root, env, &text);
    if (sb_step_mounts_write(mounts->authorities, FILE_NAME, text.data, text.len, 0444, err) < 0)
        return -1;
    return give_settings(mounts->authorities, root, env, err);
}
