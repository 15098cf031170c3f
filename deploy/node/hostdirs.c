#include "deploy/node/hostdirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/node/claim.h"
#include "deploy/node/volumes.h"
#include "deploy/units.h"
#include "document/rules.h"

/* Lines of operators', as the host resolves them: what is not there allows nothing. */
static void add_allowed(const char *name, struct sb_strings *out) {
    sb_autofree char *path = sb_format(SB_HOSTDIRS_ALLOWED "/%s", name);
    sb_autostrings struct sb_strings lines = {0};
    struct sb_error ignored = {0};
    if (sb_claim_read_lines(path, &lines, &ignored) < 0)
        return;
    for (size_t i = 0; i < lines.n; i++) {
        char *real = lines.v[i][0] == '/' ? realpath(lines.v[i], NULL) : NULL;
        if (real)
            sb_strings_take(out, real);
    }
}

static bool is_allowed(const struct sb_strings *allowed, const char *path) {
    for (size_t i = 0; i < allowed->n; i++)
        if (!allowed->v[i][1] || sb_path_is_below(path, allowed->v[i]))
            return true;
    return false;
}

/* The first of these that it has in it, or lies in; NULL. */
static const char *meets(const char *path, const struct sb_strings *list) {
    for (size_t i = 0; i < list->n; i++)
        if (sb_path_is_below(path, list->v[i]) || sb_path_is_below(list->v[i], path))
            return list->v[i];
    return NULL;
}

static void add_real(struct sb_strings *out, const char *path) {
    char *real = realpath(path, NULL);
    sb_strings_take(out, real ? real : sb_strdup(path));
}

/* What services have: their data, which nobody else's are, the service's own included, as it could
 * show itself there what it likes. */
static void add_data(struct sb_strings *out) {
    sb_autoclosedir DIR *dir = opendir(SB_CLAIM_DIRECTORIES);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        sb_autostrings struct sb_strings lines = {0};
        struct sb_error ignored = {0};
        sb_autofree char *path = sb_path_join(SB_CLAIM_DIRECTORIES, e->d_name);
        if (!sb_service_name_valid(e->d_name) || sb_claim_read_lines(path, &lines, &ignored) < 0)
            continue;
        for (size_t i = 0; i < lines.n; i++)
            if (lines.v[i][0] == '/')
                add_real(out, lines.v[i]);
    }
}

static void add_private(const struct sb_node_service *service, struct sb_strings *out) {
    static const char *const system[] = {"/boot",    "/dev",
                                         "/etc",     "/proc",
                                         "/root",    "/run",
                                         "/var/run", "/var/lib/sbuild",
                                         "/sys",     "/var/lib/private",
                                         SB_VOLUMES};
    for (size_t i = 0; i < sizeof system / sizeof *system; i++)
        add_real(out, system[i]);
    add_real(out, sb_store_path(service->node->store));
    add_data(out);
}

static int refuse(const struct sb_node_service *service, const char *path, const char *real,
                  struct sb_error *err) {
    sb_fail(err, SB_E_FAILED,
            "%s asks for the directory %s of this node%s%s%s, which is not allowed", service->name,
            path, strcmp(path, real) != 0 ? " (" : "", strcmp(path, real) != 0 ? real : "",
            strcmp(path, real) != 0 ? ")" : "");
    return sb_error_hint(
        err,
        "if it may read all that is there, write the line %s into " SB_HOSTDIRS_ALLOWED
        "/%s, or into …/ALL for all services",
        real, service->name);
}

static int check_one(const struct sb_node_service *service, const char *path,
                     const struct sb_strings *allowed, const struct sb_strings *private,
                     struct sb_error *err) {
    struct stat st;
    sb_autofree char *real = realpath(path, NULL);
    if (!real && errno != ENOENT && errno != ENOTDIR)
        return sb_fail_errno(err, SB_E_FAILED, "the directory %s, for %s", path, service->name);
    if (!real) {
        sb_fail(err, SB_E_FAILED, "%s needs the directory %s, which this node does not have",
                service->name, path);
        return sb_error_hint(err, "make it, or mount what it is on");
    }
    const char *whose = meets(real, private);
    if (whose || !real[1]) {
        sb_fail(err, SB_E_FAILED,
                "%s asks for the directory %s of this node, which no service is shown",
                service->name, path);
        return sb_error_hint(err, "%s is not for others; bundle it with another directory",
                             whose ? whose : "/");
    }
    if (!is_allowed(allowed, real))
        return refuse(service, path, real, err);
    if (stat(real, &st) < 0 || !S_ISDIR(st.st_mode))
        return sb_fail(err, SB_E_FAILED, "%s, which %s asks for, is no directory", path,
                       service->name);
    return 0;
}

int sb_hostdirs_check(const struct sb_node_service *service, const struct sb_description *d,
                      struct sb_error *err) {
    sb_autostrings struct sb_strings allowed = {0}, private = {0};
    if (d->host.n == 0)
        return 0;
    add_allowed(service->name, &allowed);
    add_allowed("ALL", &allowed);
    add_private(service, &private);
    for (size_t i = 0; i < d->host.n; i++)
        if (check_one(service, d->host.v[i].name, &allowed, &private, err) < 0)
            return -1;
    return 0;
}
