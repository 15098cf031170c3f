/* What must be there in a read-only root for units to mount something on. */
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/units.h"

static void add_point(struct sb_strings *out, const char *path, bool directory) {
    for (const char *p = path; (p = strchr(p, '/')); p++) {
        sb_autofree char *parent = sb_strndup(path, (size_t)(p + 1 - path));
        if (p > path && !sb_strings_has(out, parent))
            sb_strings_add(out, parent);
    }
    sb_autofree char *name = sb_format("%s%s", path, directory ? "/" : "");
    if (!sb_strings_has(out, name))
        sb_strings_add(out, name);
}

void sb_units_mount_points(const struct sb_description *d, struct sb_strings *out) {
    static const char *const always[] = {"dev", "proc", "sys", "run", "tmp", "var/tmp"};
    if (d->root == SB_ROOT_HOST)
        return;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        add_point(out, always[i], true);
    add_point(out, "etc/resolv.conf", false);
    add_point(out, "etc/hosts", false);
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++) {
        if (!d->directories[i])
            continue;
        sb_autofree char *host = sb_service_directory_path(d->name, (enum sb_service_directory)i);
        add_point(out, host + 1, true);
        add_point(out, d->directories[i] + 1, true);
    }
    for (size_t i = 0; i < d->volumes.n; i++)
        add_point(out, d->volumes.v[i] + 1, true);
    sb_autofree char *workdir = sb_path_clean(d->workdir);
    if (workdir[1])
        add_point(out, workdir + 1, true);
}
