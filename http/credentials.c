#include "http/credentials.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "http/docker_config.h"
#include "http/helper.h"

/* Empty counts as not set. */
static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

void sb_credentials_files(struct sb_strings *out) {
    const char *file = environment("REGISTRY_AUTH_FILE"), *docker = environment("DOCKER_CONFIG"),
               *home = environment("HOME"), *runtime = environment("XDG_RUNTIME_DIR"),
               *config = environment("XDG_CONFIG_HOME");
    if (file)
        sb_strings_add(out, file);
    if (docker)
        sb_strings_addf(out, "%s/config.json", docker);
    else if (home)
        sb_strings_addf(out, "%s/.docker/config.json", home);
    if (runtime)
        sb_strings_addf(out, "%s/containers/auth.json", runtime);
    else
        sb_strings_addf(out, "/run/containers/%u/auth.json", (unsigned)geteuid());
    if (config)
        sb_strings_addf(out, "%s/containers/auth.json", config);
    else if (home)
        sb_strings_addf(out, "%s/.config/containers/auth.json", home);
    if (home) /* of Docker before 1.7 */
        sb_strings_addf(out, "%s/.dockercfg", home);
}

/* ---- finding ---- */

/* A helper's own name for docker.io is docker's; podman stores it under the host. */
static int ask_helper(const char *helper, const char *host, struct sb_credential *out,
                      struct sb_error *err) {
    const char *server = sb_docker_config_server(host);
    int found = sb_helper_get(helper, server, out, err);
    return found == 0 && strcmp(server, host) != 0 ? sb_helper_get(helper, host, out, err) : found;
}

static int find_in_file(const char *path, const char *host, const char *repository,
                        struct sb_credential *out, struct sb_error *err) {
    sb_autodockerconfig struct sb_docker_config config = {0};
    int there = sb_docker_config_read(path, &config, err);
    if (there <= 0)
        return there;
    const char *helper = sb_docker_config_helper(&config, host);
    int asked = helper ? ask_helper(helper, host, out, err) : 0;
    if (asked < 0) {
        sb_error_context(err, "credentials of %s", host);
        sb_error_hint(err, "%s names this helper", path);
    }
    if (asked > 0 || (asked < 0 && err->code != SB_E_NOT_FOUND))
        return asked;
    /* One that isn't installed, as in a container with the host's file, may not be needed. */
    struct sb_error own = {0};
    int found = sb_docker_config_find(&config, host, repository, out, &own);
    if (found < 0)
        *err = own;
    return found ? found : asked;
}

int sb_credentials_find(const char *host, const char *repository, struct sb_credential *out,
                        struct sb_error *err) {
    *out = (struct sb_credential){0};
    sb_autostrings struct sb_strings files = {0};
    sb_credentials_files(&files);
    struct sb_error first = {0};
    for (size_t i = 0; i < files.n; i++) {
        struct sb_error own = {0};
        int found = find_in_file(files.v[i], host, repository, out, &own);
        if (found > 0)
            return found;
        if (found < 0 && !first.code)
            first = own;
        if (found < 0 && own.code != SB_E_NOT_FOUND)
            break;
    }
    if (!first.code)
        return 0;
    if (err)
        *err = first;
    return -1;
}

bool sb_credentials_by_repository(const char *host) {
    sb_autostrings struct sb_strings files = {0};
    sb_credentials_files(&files);
    bool any = false;
    for (size_t i = 0; i < files.n && !any; i++) {
        sb_autodockerconfig struct sb_docker_config config = {0};
        any = sb_docker_config_read(files.v[i], &config, NULL) > 0 &&
              sb_docker_config_has_paths(&config, host);
    }
    return any;
}

/* ---- changing ---- */

/* The directory of a file, made if need be, and locked, so that two logins at once both last. */
static int lock_directory(const char *path, struct sb_error *err) {
    sb_autofree char *dir = sb_path_dirname(path);
    if (sb_directory_make(AT_FDCWD, dir, 0700, err) < 0)
        return -1;
    int fd = sb_directory_open(AT_FDCWD, dir, err);
    if (fd >= 0)
        flock(fd, LOCK_EX); /* file systems without locks do without */
    return fd;
}

int sb_credentials_store(const char *host, const struct sb_credential *credential, char **out_where,
                         struct sb_error *err) {
    sb_autostrings struct sb_strings files = {0};
    sb_credentials_files(&files);
    if (files.n == 0)
        return sb_fail(err, SB_E_FAILED, "no place for credentials: HOME is not set");
    sb_autoclose int lock = lock_directory(files.v[0], err);
    sb_autodockerconfig struct sb_docker_config config = {0};
    if (lock < 0 || sb_docker_config_read(files.v[0], &config, err) < 0)
        return -1;
    const char *helper = sb_docker_config_helper(&config, host);
    if (helper && sb_helper_store(helper, sb_docker_config_server(host), credential, err) < 0)
        return sb_error_context(err, "credentials of %s", host);
    *out_where = helper ? sb_format("docker-credential-%s", helper) : sb_strdup(files.v[0]);
    sb_docker_config_set(&config, host, helper ? NULL : credential);
    if (sb_docker_config_write(&config, err) == 0)
        return 0;
    sb_free_pointer(out_where);
    *out_where = NULL;
    return -1;
}

/* 1: it had some. */
static int erase_in_helper(const char *helper, const char *host, struct sb_error *err) {
    const char *servers[] = {sb_docker_config_server(host), host};
    int any = 0;
    for (size_t i = 0; i < 2 && !(i && !strcmp(servers[0], servers[1])); i++) {
        sb_autocredential struct sb_credential had = {0};
        int found = sb_helper_get(helper, servers[i], &had, err);
        if (found < 0 || (found && sb_helper_erase(helper, servers[i], err) < 0))
            return sb_error_context(err, "credentials of %s", host);
        any |= found;
    }
    return any;
}

static int erase_in_file(const char *path, const char *host, struct sb_strings *out_where,
                         struct sb_error *err) {
    sb_autodockerconfig struct sb_docker_config config = {0};
    if (!sb_path_exists(AT_FDCWD, path))
        return 0;
    sb_autoclose int lock = lock_directory(path, err);
    if (lock < 0 || sb_docker_config_read(path, &config, err) < 0)
        return -1;
    const char *helper = sb_docker_config_helper(&config, host);
    int found = helper ? erase_in_helper(helper, host, err) : 0;
    if (found < 0)
        return -1;
    if (found)
        sb_strings_addf(out_where, "docker-credential-%s", helper);
    if (!sb_docker_config_remove(&config, host))
        return found;
    if (!found)
        sb_strings_add(out_where, path);
    return sb_docker_config_write(&config, err) < 0 ? -1 : 1;
}

int sb_credentials_erase(const char *host, struct sb_strings *out_where, struct sb_error *err) {
    sb_autostrings struct sb_strings files = {0};
    sb_credentials_files(&files);
    int found = 0;
    for (size_t i = 0; i < files.n; i++) {
        int erased = erase_in_file(files.v[i], host, out_where, err);
        if (erased < 0)
            return -1;
        found |= erased;
    }
    return found;
}
