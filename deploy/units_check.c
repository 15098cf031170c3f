/* What a placement may say, so that a unit file says that and nothing else. */
#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "deploy/units.h"
#include "document/rules.h"

#define VERSION_OLDEST 247

static bool is_safe_path(const char *path) {
    return *path == '/' && !strpbrk(path, " \t\n\r\\\"':,%") && sb_text_is_for_units(path);
}

/* A mount option: with categories ("s0:c1,c2") it would need quotes, which no program's label has.
 */
static bool is_label(const char *label) {
    for (; *label; label++)
        if (!strchr("_.:-", *label) && !isalnum((unsigned char)*label))
            return false;
    return true;
}

static int refuse(struct sb_error *err, const char *what, const char *value) {
    return sb_fail(err, SB_E_FAILED, "%s %s can't be written in a unit file", what,
                   sb_text_shown(value).text);
}

static int check_lower(const struct sb_placement *p, struct sb_error *err) {
    size_t bytes = 0;
    for (size_t i = 0; i < p->lower_count; i++) {
        bytes += strlen(p->lower[i]) + 1;
        if (!is_safe_path(p->lower[i]))
            return refuse(err, "the directory", p->lower[i]);
    }
    if (p->lower_count && bytes - 1 > SB_UNIT_LOWER_LIMIT)
        return sb_fail(err, SB_E_FAILED,
                       "the names of %zu layers take %zu bytes, and %d fit into a mount",
                       p->lower_count, bytes - 1, SB_UNIT_LOWER_LIMIT);
    if (p->lower_count == 1)
        return sb_fail(err, SB_E_FAILED, "an overlay needs two directories at least");
    return 0;
}

int sb_units_check(const struct sb_placement *p, struct sb_error *err) {
    if (p->systemd_version && p->systemd_version < VERSION_OLDEST) {
        sb_fail(err, SB_E_FAILED, "systemd %d is too old", p->systemd_version);
        return sb_error_hint(err, "units are made for systemd %d and later", VERSION_OLDEST);
    }
    const char *const paths[] = {p->root, p->requires_path};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (paths[i] && !is_safe_path(paths[i]))
            return refuse(err, "the path", paths[i]);
    if (p->program && (*p->program != '/' || strpbrk(p->program, "\\\"'$\n") ||
                       !sb_text_is_for_units(p->program)))
        return refuse(err, "the program", p->program);
    if (p->label && !is_label(p->label))
        return refuse(err, "the SELinux context", p->label);
    if (p->colour && (!*p->colour || p->colour[strspn(p->colour, "abcdefghijklmnopqrstuvwxyz")]))
        return refuse(err, "the colour", p->colour);
    for (size_t i = 0; p->devices && i < p->devices->n; i++)
        if (strncmp(p->devices->v[i], "/dev/", 5) != 0 || !is_safe_path(p->devices->v[i]))
            return refuse(err, "the device", p->devices->v[i]);
    for (size_t i = 0; p->env && i < p->env->n; i++)
        if (!sb_rule_env.check(p->env->v[i].name) || !sb_text_is_for_units(p->env->v[i].value))
            return refuse(err, "the variable", p->env->v[i].name);
    return check_lower(p, err);
}
