#include "layers/whiteout.h"

#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

static bool has_prefix(const char *name) {
    return !strncmp(name, SB_WHITEOUT_PREFIX, strlen(SB_WHITEOUT_PREFIX));
}

enum sb_whiteout sb_whiteout_kind(const char *path) {
    const char *name = path;
    for (const char *slash; (slash = strchr(name, '/')); name = slash + 1)
        if (has_prefix(name))
            return SB_WHITEOUT_IGNORED;
    if (!has_prefix(name))
        return SB_WHITEOUT_NO;
    if (!strcmp(name, SB_WHITEOUT_OPAQUE))
        return SB_WHITEOUT_HIDES_BELOW;
    const char *hidden = name + strlen(SB_WHITEOUT_PREFIX);
    if (has_prefix(hidden))
        return SB_WHITEOUT_IGNORED;
    bool bad = !*hidden || !strcmp(hidden, ".") || !strcmp(hidden, "..");
    return bad ? SB_WHITEOUT_BAD : SB_WHITEOUT_HIDES;
}

bool sb_whiteout_device(const struct sb_entry *entry) {
    return S_ISCHR(entry->mode) && !entry->hard_link && !entry->device_major &&
           !entry->device_minor;
}

int sb_whiteout_check(const char *path, struct sb_error *err) {
    return sb_whiteout_kind(path) != SB_WHITEOUT_BAD
               ? 0
               : sb_fail(err, SB_E_INTEGRITY, "%s is not a whiteout of anything", path);
}

char *sb_whiteout_target(const char *path) {
    const char *slash = strrchr(path, '/');
    size_t parent = slash ? (size_t)(slash - path) : 0;
    if (sb_whiteout_kind(path) == SB_WHITEOUT_HIDES_BELOW)
        return sb_strndup(path, parent);
    const char *hidden = (slash ? slash + 1 : path) + strlen(SB_WHITEOUT_PREFIX);
    return sb_format("%.*s%s%s", (int)parent, path, slash ? "/" : "", hidden);
}

bool sb_whiteout_is_on(const char *path) {
    const size_t n = strlen(SB_WHITEOUT_PREFIX);
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (!strncmp(p, SB_WHITEOUT_PREFIX, n))
            return true;
    }
    return false;
}
