#include "deploy/dropins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/units.h"

static char *shared_name(const struct sb_node_service *service) {
    return sb_format("%s.d", service->unit);
}

static char *own_name(const struct sb_node_service *service, const char *colour) {
    sb_autofree char *unit = sb_unit_service_name(service->name, colour);
    return sb_format("%s.d", unit);
}

/* A link that another colour's unit was lent, which says so by where it leads. */
static bool is_lent(int dir, const char *name, const char *shared) {
    sb_autofree char *to = sb_format("../%s/%s", shared, name);
    char text[512];
    ssize_t n = readlinkat(dir, name, text, sizeof text);
    return n >= 0 && (size_t)n == strlen(to) && !memcmp(text, to, (size_t)n);
}

/* Names of the drop-ins in a unit's directory, those that were lent to it or its own; none when it
 * is not there. An administrator's may be symlinks as well. */
static void add_names(int units, const char *directory, const char *shared, bool lent,
                      struct sb_strings *out) {
    int fd = openat(units, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_close_descriptor(&fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        size_t n = strlen(e->d_name);
        if (n > 5 && !strcmp(e->d_name + n - 5, ".conf") &&
            fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) && is_lent(fd, e->d_name, shared) == lent)
            sb_strings_add(out, e->d_name);
    }
}

/* The same; returns the directory of all units, or -1. */
static int list(const struct sb_node_service *service, const char *directory, bool lent,
                struct sb_strings *out, struct sb_error *err) {
    sb_autofree char *shared = shared_name(service);
    int units = sb_directory_open(AT_FDCWD, sb_node_units(service->node), err);
    if (units >= 0)
        add_names(units, directory, shared, lent, out);
    return units;
}

int sb_dropins_gather(const struct sb_node_service *service, const char *colour,
                      struct sb_error *err) {
    sb_autofree char *shared = shared_name(service), *own = own_name(service, colour);
    sb_autostrings struct sb_strings names = {0};
    sb_autoclose int units = list(service, own, false, &names, err);
    if (units < 0)
        return -1;
    for (size_t i = 0; i < names.n; i++) {
        sb_autofree char *from = sb_format("%s/%s", own, names.v[i]);
        sb_autofree char *to = sb_format("%s/%s", shared, names.v[i]);
        if (sb_directory_make(units, shared, 0755, err) < 0)
            return -1;
        if (renameat(units, from, units, to) < 0)
            return sb_fail_errno(err, SB_E_IO, "moving %s to %s", from, to);
    }
    unlinkat(units, own, AT_REMOVEDIR); /* if nothing is in it */
    return 0;
}

int sb_dropins_lend(const struct sb_node_service *service, const char *colour,
                    struct sb_error *err) {
    sb_autofree char *shared = shared_name(service), *own = own_name(service, colour);
    sb_autostrings struct sb_strings names = {0};
    if (sb_dropins_gather(service, colour, err) < 0 ||
        sb_dropins_take_back(service, colour, err) < 0)
        return -1;
    sb_autoclose int units = list(service, shared, false, &names, err);
    if (units < 0)
        return -1;
    for (size_t i = 0; i < names.n; i++) {
        sb_autofree char *link = sb_format("%s/%s", own, names.v[i]);
        sb_autofree char *to = sb_format("../%s/%s", shared, names.v[i]);
        if (sb_directory_make(units, own, 0755, err) < 0)
            return -1;
        if (symlinkat(to, units, link) < 0 && errno != EEXIST)
            return sb_fail_errno(err, SB_E_IO, "linking %s", link);
    }
    return 0;
}

int sb_dropins_take_back(const struct sb_node_service *service, const char *colour,
                         struct sb_error *err) {
    sb_autofree char *shared = shared_name(service), *own = own_name(service, colour);
    sb_autostrings struct sb_strings names = {0};
    sb_autoclose int units = list(service, own, true, &names, err);
    if (units < 0)
        return -1;
    for (size_t i = 0; i < names.n; i++) {
        sb_autofree char *link = sb_format("%s/%s", own, names.v[i]);
        if (unlinkat(units, link, 0) < 0 && errno != ENOENT)
            return sb_fail_errno(err, SB_E_IO, "removing %s", link);
    }
    unlinkat(units, own, AT_REMOVEDIR); /* if nothing is in them */
    unlinkat(units, shared, AT_REMOVEDIR);
    return 0;
}
